package frontend

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/koinon-io/koinon/pkg/tunnel"
)

func TestHeadsAreReadStrictly(t *testing.T) {
	const begin = "CONNECT 10.0.0.1:443 HTTP/1.1\r\n"
	plain := head{target: "10.0.0.1:443"}
	for what, test := range map[string]struct {
		text string
		want head
		err  *Error // nil if there is none; without a text for any that is 400
	}{
		"what kube-apiserver sends":       {begin + "Host: 127.0.0.1\r\n\r\n", plain, nil},
		"what a browser sends":            {begin + "Host: 10.0.0.1:443\r\nUser-Agent: x\r\nProxy-Connection: keep-alive\r\n\r\n", plain, nil},
		"no header at all":                {begin + "\r\n", plain, nil},
		"HTTP/1.0":                        {"CONNECT 10.0.0.1:443 HTTP/1.0\r\n\r\n", plain, nil},
		"headers of ours":                 {begin + "koinon-cluster:m1\r\nKOINON-NODE: \tn1 \r\n\r\n", head{plain.target, tunnel.Name{Cluster: "m1", Node: "n1"}}, nil},
		"the user of a proxy's URL":       {begin + "Proxy-Authorization: Basic bTE6\r\n\r\n", head{plain.target, tunnel.Name{Cluster: "m1"}}, nil},
		"it and a header that agree":      {begin + "proxy-authorization: basic bTE6\r\nKoinon-Cluster: m1\r\n\r\n", head{plain.target, tunnel.Name{Cluster: "m1"}}, nil},
		"it and a header that do not":     {begin + "Proxy-Authorization: Basic bTE6\r\nKoinon-Cluster: m2\r\n\r\n", head{}, &Error{}},
		"a password of a proxy's URL":     {begin + "Proxy-Authorization: Basic bTE6cA==\r\n\r\n", head{}, &Error{}},
		"a user who is no cluster":        {begin + "Proxy-Authorization: Basic TTEvOg==\r\n\r\n", head{}, &Error{}},
		"a token for a proxy":             {begin + "Proxy-Authorization: Bearer bTE6\r\n\r\n", head{}, &Error{}},
		"a body of no length":             {begin + "Content-Length: 0\r\n\r\n", plain, nil},
		"bytes that are not ASCII":        {begin + "X: \xff\xc3\xa4\r\n\r\n", plain, nil},
		"another method":                  {"GET / HTTP/1.1\r\n\r\n", head{}, errMethod},
		"a method in another case":        {"connect 10.0.0.1:443 HTTP/1.1\r\n\r\n", head{}, errMethod},
		"HTTP/2":                          {"PRI * HTTP/2.0\r\n\r\n", head{}, &Error{}},
		"no version":                      {"CONNECT 10.0.0.1:443\r\n\r\n", head{}, &Error{}},
		"two spaces":                      {"CONNECT  10.0.0.1:443 HTTP/1.1\r\n\r\n", head{}, &Error{}},
		"a space behind":                  {"CONNECT 10.0.0.1:443 HTTP/1.1 \r\n\r\n", head{}, &Error{}},
		"a tab for a space":               {"CONNECT\t10.0.0.1:443 HTTP/1.1\r\n\r\n", head{}, &Error{}},
		"an empty line before":            {"\r\n" + begin + "\r\n", head{}, &Error{}},
		"a line feed alone":               {begin + "A: b\nKoinon-Cluster: m2\r\n\r\n", head{}, &Error{}},
		"a carriage return alone":         {begin + "A: b\rKoinon-Cluster: m2\r\n\r\n", head{}, &Error{}},
		"a header that is continued":      {begin + "A: b\r\n c\r\n\r\n", head{}, &Error{}},
		"a space before the colon":        {begin + "Koinon-Cluster : m1\r\n\r\n", head{}, &Error{}},
		"a header without a colon":        {begin + "Koinon-Cluster\r\n\r\n", head{}, &Error{}},
		"a header of ours twice":          {begin + "Koinon-Cluster: m1\r\nkoinon-cluster: m1\r\n\r\n", head{}, &Error{}},
		"an empty header of ours":         {begin + "Koinon-Cluster:\r\n\r\n", head{}, &Error{}},
		"a NUL":                           {begin + "A: \x00\r\n\r\n", head{}, &Error{}},
		"a body":                          {begin + "Content-Length: 5\r\n\r\n", head{}, &Error{}},
		"a body in chunks":                {begin + "Transfer-Encoding: chunked\r\n\r\n", head{}, &Error{}},
		"a byte behind":                   {begin + "\r\nx", head{}, errEarly},
		"a second request behind":         {begin + "\r\n" + begin + "\r\n", head{}, errEarly},
		"as many headers as may be":       {begin + strings.Repeat("A: b\r\n", maxHeaders) + "\r\n", plain, nil},
		"one more":                        {begin + strings.Repeat("A: b\r\n", maxHeaders+1) + "\r\n", head{}, errTooLong},
		"as many bytes as may be":         {begin + "A: " + strings.Repeat("b", headBytes-len(begin)-7) + "\r\n\r\n", plain, nil},
		"one byte more":                   {begin + "A: " + strings.Repeat("b", headBytes-len(begin)-6) + "\r\n\r\n", head{}, errTooLong},
		"bytes without an end":            {strings.Repeat("x", 2*headBytes), head{}, errTooLong},
		"a request line that is too long": {"CONNECT " + strings.Repeat("a", 2*headBytes) + ":1 HTTP/1.1\r\n\r\n", head{}, errTooLong},
	} {
		t.Run(what, func(t *testing.T) {
			got, err := readHead(strings.NewReader(test.text))
			var refused *Error
			switch {
			case test.err == nil:
				if err != nil || got != test.want {
					t.Errorf("got %+v: %v", got, err)
				}
			case !errors.As(err, &refused):
				t.Errorf("got %+v: %v", got, err)
			case test.err.Text == "" && refused.Status != 400, test.err.Text != "" && refused != test.err:
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("byte by byte", func(t *testing.T) {
		got, err := readHead(iotest.OneByteReader(strings.NewReader(begin + "Koinon-Node: n1\r\n\r\n")))
		if want := (head{plain.target, tunnel.Name{Node: "n1"}}); err != nil || got != want {
			t.Errorf("got %+v: %v", got, err)
		}
	})
	t.Run("the end before it is there", func(t *testing.T) {
		if _, err := readHead(strings.NewReader(begin)); !errors.Is(err, ErrLeft) {
			t.Errorf("got %v", err)
		}
	})
}

// Whatever comes is a head or a refusal, however it is cut in pieces; and what is taken for a target is one.
func FuzzHead(f *testing.F) {
	f.Add("CONNECT 10.0.0.1:443 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", byte(7))
	f.Add("CONNECT n1.m1.tunnel.test:10250 HTTP/1.1\r\nKoinon-Cluster: m1\r\nKoinon-Node: n1\r\n\r\nx", byte(1))
	f.Add("CONNECT n1:10250 HTTP/1.1\r\nProxy-Authorization: Basic bTE6\r\n\r\n", byte(3))
	f.Add("CONNECT [::1]:443 HTTP/1.0\r\n\r\n", byte(100))
	front := &Frontend{suffix: ".tunnel.test", config: Config{Policy: knows{node("m1", "n1")}}}
	f.Fuzz(func(t *testing.T, text string, piece byte) {
		whole, err := readHead(strings.NewReader(text))
		inPieces, errInPieces := readHead(&pieces{text, int(piece)%64 + 1})
		var refused *Error
		if err != nil && !errors.As(err, &refused) && !errors.Is(err, ErrLeft) {
			t.Fatalf("an error without a status: %v", err)
		}
		if err == nil && errInPieces == nil && whole != inPieces {
			t.Fatalf("in pieces it is %+v, and not %+v", inPieces, whole)
		}
		if err != nil {
			return
		}
		if strings.ContainsAny(whole.target+whole.asked.Cluster+whole.asked.Node, "\r\n\x00") {
			t.Fatalf("got %q, %q, %q", whole.target, whole.asked.Cluster, whole.asked.Node)
		}
		name, address, err := front.route(Request{Client: Client{Within: tunnel.Name{Cluster: "m1"}}, Target: whole.target, Asked: whole.asked})
		if err == nil && (name.Cluster != "m1" || name.Validate() != nil || address == "") {
			t.Fatalf("%+v leads to %+v, %q", whole, name, address)
		}
	})
}

// pieces reads some bytes at a time.
type pieces struct {
	text string
	size int
}

func (p *pieces) Read(b []byte) (int, error) {
	if p.text == "" {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), p.size)], p.text)
	p.text = p.text[n:]
	return n, nil
}
