package frontend

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/koinon-io/koinon/pkg/tunnel"
)

func TestHeadsAreReadStrictly(t *testing.T) {
	const (
		line  = "CONNECT 10.0.0.1:443 HTTP/1.1\r\n"
		begin = line + "Host: 127.0.0.1\r\n"
	)
	plain := head{target: "10.0.0.1:443"}
	for what, test := range map[string]struct {
		text string
		want head
		err  *Error // nil if there is none; without a text for any that is 400
	}{
		"what kube-apiserver sends":       {line + "Host: 127.0.0.1\r\n\r\n", plain, nil},
		"what a browser sends":            {line + "Host: 10.0.0.1:443\r\nUser-Agent: x\r\nProxy-Connection: keep-alive\r\n\r\n", plain, nil},
		"a Host of IPv6":                  {line + "Host: [2001:db8::1]:443\r\n\r\n", plain, nil},
		"HTTP/1.1 without Host":           {line + "\r\n", head{}, &Error{}},
		"HTTP/1.0, which needs no Host":   {"CONNECT 10.0.0.1:443 HTTP/1.0\r\n\r\n", plain, nil},
		"two Hosts":                       {begin + "host: 127.0.0.1\r\n\r\n", head{}, &Error{}},
		"two Hosts of HTTP/1.0":           {"CONNECT 10.0.0.1:443 HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", head{}, &Error{}},
		"two Hosts in one header":         {line + "Host: a, b\r\n\r\n", head{}, &Error{}},
		"an empty Host":                   {line + "Host:\r\n\r\n", head{}, &Error{}},
		"a Host that is a URL":            {line + "Host: http://m1/\r\n\r\n", head{}, &Error{}},
		"a Host with a user":              {line + "Host: m1@10.0.0.1\r\n\r\n", head{}, &Error{}},
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
		"a line feed alone":               {begin + "A: b\nKoinon-Cluster: m2\r\n\r\n", head{}, errLineEnd},
		"line feeds alone":                {"CONNECT 10.0.0.1:443 HTTP/1.1\nHost: 127.0.0.1\n\n", head{}, errLineEnd},
		"a line feed alone at the end":    {begin + "\n", head{}, errLineEnd},
		"a carriage return alone":         {begin + "A: b\rKoinon-Cluster: m2\r\n\r\n", head{}, &Error{}},
		"a header that is continued":      {begin + "A: b\r\n c\r\n\r\n", head{}, &Error{}},
		"a header that begins with a tab": {begin + "\tA: b\r\n\r\n", head{}, &Error{}},
		"a space before the colon":        {begin + "Koinon-Cluster : m1\r\n\r\n", head{}, &Error{}},
		"a header without a colon":        {begin + "Koinon-Cluster\r\n\r\n", head{}, &Error{}},
		"a header of ours twice":          {begin + "Koinon-Cluster: m1\r\nkoinon-cluster: m1\r\n\r\n", head{}, &Error{}},
		"an empty header of ours":         {begin + "Koinon-Cluster:\r\n\r\n", head{}, &Error{}},
		"a NUL in a name":                 {begin + "A\x00: b\r\n\r\n", head{}, &Error{}},
		"a NUL in the request line":       {"CONNECT 10.0.0.1:443\x00 HTTP/1.1\r\nHost: a\r\n\r\n", head{}, &Error{}},
		"a NUL":                           {begin + "A: \x00\r\n\r\n", head{}, &Error{}},
		"a body":                          {begin + "Content-Length: 5\r\n\r\n", head{}, &Error{}},
		"a body of no length, twice":      {begin + "Content-Length: 0\r\nContent-Length: 0\r\n\r\n", head{}, &Error{}},
		"a body of some lengths":          {begin + "Content-Length: 0, 0\r\n\r\n", head{}, &Error{}},
		"a body that is not encoded":      {begin + "Transfer-Encoding: identity\r\n\r\n", head{}, &Error{}},
		"a body of no length, in chunks":  {begin + "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n", head{}, &Error{}},
		"a body in chunks":                {begin + "Transfer-Encoding: chunked\r\n\r\n", head{}, &Error{}},
		"a byte behind":                   {begin + "\r\nx", head{}, errEarly},
		"a second request behind":         {begin + "\r\n" + begin + "\r\n", head{}, errEarly},
		"as many headers as may be":       {begin + strings.Repeat("A: b\r\n", maxHeaders-1) + "\r\n", plain, nil},
		"one more":                        {begin + strings.Repeat("A: b\r\n", maxHeaders) + "\r\n", head{}, errTooLong},
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
	t.Run("line feeds alone are not waited behind", func(t *testing.T) {
		for _, text := range []string{"CONNECT 10.0.0.1:443 HTTP/1.1\n", line + "Host: 127.0.0.1\n"} {
			if _, err := readHead(iotest.OneByteReader(io.MultiReader(strings.NewReader(text), iotest.ErrReader(os.ErrDeadlineExceeded)))); err != errLineEnd {
				t.Errorf("%q: got %v", text, err)
			}
		}
	})
	t.Run("byte by byte", func(t *testing.T) {
		got, err := readHead(iotest.OneByteReader(strings.NewReader(line + "Host: a\r\nKoinon-Node: n1\r\n\r\n")))
		if want := (head{plain.target, tunnel.Name{Node: "n1"}}); err != nil || got != want {
			t.Errorf("got %+v: %v", got, err)
		}
	})
	t.Run("the end before it is there", func(t *testing.T) {
		if _, err := readHead(strings.NewReader(line)); !errors.Is(err, ErrLeft) {
			t.Errorf("got %v", err)
		}
	})
}

// Whatever comes is a head or a refusal, however it is cut in pieces; and what is taken for a target is one.
func FuzzHead(f *testing.F) {
	const line, host = "CONNECT n1:10250 HTTP/1.1\r\n", "Host: 127.0.0.1\r\n"
	for i, text := range []string{
		line + host + "\r\n", line + "\r\n", line + host + host + "\r\n", line + "Host: a,b\r\n\r\n", "CONNECT [::1]:443 HTTP/1.0\r\n\r\n",
		"CONNECT n1.m1.tunnel.test:10250 HTTP/1.1\r\nKoinon-Cluster: m1\r\nKoinon-Node: n1\r\n" + host + "\r\nx",
		line + host + "Proxy-Authorization: Basic bTE6\r\n\r\n", "CONNECT n1:10250 HTTP/1.1\nHost: a\n\n", line + host + "\n", line + "Host: a\rA: b\r\n\r\n",
		line + host + "A: b\r\n c\r\n\r\n", line + "Host : a\r\n\r\n", line + host + "A: \x00\r\n\r\n", line + host + "Content-Length: 0\r\n\r\n",
		line + host + "Content-Length: 5\r\n\r\nhello", line + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "\r\n" + line + host + "\r\n",
	} {
		f.Add(text, byte(i))
	}
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
		if lines := strings.Split(strings.TrimSuffix(text[:min(len(text), headBytes)], "\r\n\r\n"), "\r\n"); strings.ContainsAny(strings.Join(lines, ""), "\r\n\x00") {
			t.Fatalf("%q is taken", text)
		}
		if strings.ContainsAny(whole.target+whole.asked.Cluster+whole.asked.Node, "\r\n\x00") {
			t.Fatalf("got %q, %q, %q", whole.target, whole.asked.Cluster, whole.asked.Node)
		}
		to, err := front.aimed(Request{Client: Client{Within: tunnel.Name{Cluster: "m1"}}, Target: whole.target, Asked: whole.asked})
		if err == nil && (to.name.Cluster != "m1" || to.name.Validate() != nil || to.address == "") {
			t.Fatalf("%+v leads to %+v", whole, to)
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
