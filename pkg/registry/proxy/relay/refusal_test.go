package relay

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// What breaks while it is looked at whether it is whole breaks for the client as well.
func TestARefusalThatBreaksIsNotTakenForAWholeOne(t *testing.T) {
	const text = "there is no ro"
	broken := errors.New("the connection broke")
	ahead := &readAhead{ReadCloser: io.NopCloser(io.MultiReader(strings.NewReader(text), iotest.ErrReader(broken)))}
	answer := measured(&http.Response{StatusCode: http.StatusForbidden, ContentLength: -1, Header: http.Header{}, Body: ahead}, ahead, time.Hour)
	got, err := io.ReadAll(answer.Body)
	if string(got) != text || !errors.Is(err, broken) || answer.ContentLength >= 0 {
		t.Errorf("got %q of %d bytes, %v", got, answer.ContentLength, err)
	}
}
