package app

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// UntilTold returns a context that ends when this process is told to end, as it is when an ssh session ends: what an install has begun is put back then. To be told again kills it; but sessions say twice that they
// end, and so that counts once.
func UntilTold(ctx context.Context) context.Context {
	told := []os.Signal{os.Interrupt, syscall.SIGTERM}
	hangup := !signal.Ignored(syscall.SIGHUP) // as nohup has it
	if hangup {
		told = append(told, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(ctx, told...)
	context.AfterFunc(ctx, func() {
		if hangup {
			signal.Ignore(syscall.SIGHUP)
		}
		stop()
	})
	return ctx
}

// outliveReader has this process go on when nobody reads any more what it says, such as at the end of an ssh session.
func outliveReader() { signal.Ignore(syscall.SIGPIPE) }
