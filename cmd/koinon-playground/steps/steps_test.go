package steps

import (
	"bytes"
	"errors"
	"regexp"
	"testing"
)

func TestStepsArePrintedWithTimesAndFailuresAreNot(t *testing.T) {
	var out bytes.Buffer
	p := New(&out)
	if err := p.Do("koinon: ready", func() (string, error) { return "https://127.0.0.1:1", nil }); err != nil {
		t.Fatal(err)
	}
	failure := errors.New("no")
	if err := p.Do("m1: joined", func() (string, error) { return "", failure }); !errors.Is(err, failure) {
		t.Errorf("got %v, want the error of the step", err)
	}
	want := regexp.MustCompile(`^ +\d+\.\ds  koinon: ready +\d+\.\ds  https://127\.0\.0\.1:1\n$`)
	if !want.MatchString(out.String()) {
		t.Errorf("got %q, want one line like %s", out.String(), want)
	}
}
