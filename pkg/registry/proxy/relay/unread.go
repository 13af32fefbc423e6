package relay

import (
	"context"
	"net/http"
	"time"
)

// unreadFor is how long a client may take to read what is left of an answer that was ended here.
const unreadFor = 10 * time.Second

// endUnread has writes of an answer fail some time after ctx has ended: a client that does not read would keep a
// request that may not go on. The result must be called when the answer is complete; w is not used after it.
func endUnread(ctx context.Context, w http.ResponseWriter, within time.Duration) (stop func()) {
	control, set := http.NewResponseController(w), make(chan struct{})
	undo := context.AfterFunc(ctx, func() {
		defer close(set)
		_ = control.SetWriteDeadline(time.Now().Add(within))
	})
	return func() {
		if !undo() {
			<-set
			_ = control.SetWriteDeadline(time.Time{}) // the connection is used again
		}
	}
}
