package writes

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

const (
	// maxBody is how much of a request is read that may be answered here.
	maxBody = 3 << 20
	// maxReadOf are how many requests of one who is not of the node are read and held at a time, and sending is how long one may take to be read.
	maxReadOf, sending = 16, 30 * time.Second
)

// readBody reads the body, and puts it back for who is next. Of a pod's that is larger than what is kept of one, so much is held and whole is false: it can only be handed on.
// done is to be called when the body is not held any more. The error is a *StatusError.
func (x *exchange) readBody(rw http.ResponseWriter, r *http.Request) (whole bool, done func(), err error) {
	if r.Body == nil {
		return true, func() {}, nil
	}
	limit := maxBody
	if !x.caller.Local {
		limit = maxKept
	}
	if done, err = x.readers.begin(x.userOf()); err != nil {
		return false, nil, err
	}
	control := http.NewResponseController(rw)
	_ = control.SetReadDeadline(time.Now().Add(x.sending))
	x.body, err = io.ReadAll(io.LimitReader(r.Body, int64(limit)+1))
	if err != nil { // the deadline stays: net/http would read the rest before it answers
		done()
		return false, nil, apierrors.NewBadRequest("the body cannot be read: " + err.Error())
	}
	_ = control.SetReadDeadline(time.Time{})
	switch {
	case len(x.body) <= limit:
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(x.body)), int64(len(x.body))
		return true, done, nil
	case x.caller.Local:
		done()
		return false, nil, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("the limit is %d bytes", maxBody))
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(x.body), r.Body), r.Body}
	return false, done, nil
}

// readers are the users whose requests are read and held: each has a part, so that nobody who sends slowly takes the memory of all.
type readers struct {
	mu sync.Mutex
	of map[string]int // guarded by mu
}

// begin has one more of a user, who is "" for the node itself; an error if he has too many. done is to be called when it is over.
func (r *readers) begin(user string) (done func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if user != "" && r.of[user] >= maxReadOf {
		return nil, apierrors.NewTooManyRequests(fmt.Sprintf("%d requests of %s are under way", maxReadOf, user), 1)
	}
	r.of[user]++
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.of[user]--; r.of[user] == 0 {
			delete(r.of, user)
		}
	}, nil
}
