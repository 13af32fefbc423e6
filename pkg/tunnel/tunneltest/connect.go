package tunneltest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// Connect sends CONNECT for a target as kube-apiserver does, and reads the answer.
func Connect(conn net.Conn, target string, headers ...string) (status int, body string, answer *http.Response, err error) {
	request := "CONNECT " + target + " HTTP/1.1\r\nHost: 127.0.0.1\r\n" + strings.Join(append(headers, ""), "\r\n") + "\r\n"
	if _, err := io.WriteString(conn, request); err != nil {
		return 0, "", nil, err
	}
	return Answered(conn)
}

// Answered reads an answer to CONNECT, and nothing behind it.
func Answered(conn net.Conn) (status int, body string, answer *http.Response, err error) {
	reader := bufio.NewReader(conn)
	answer, err = http.ReadResponse(reader, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return 0, "", nil, err
	}
	if answer.StatusCode == http.StatusOK {
		if n := reader.Buffered(); n > 0 {
			err = fmt.Errorf("%d bytes are behind the answer", n)
		}
		return answer.StatusCode, "", answer, err
	}
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, strings.TrimSuffix(string(text), "\n"), answer, err
}
