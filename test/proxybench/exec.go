package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"

	"github.com/koinon-io/koinon/test/testbed"
)

const (
	spdy      = "SPDY"
	webSocket = "WebSocket"
	podName   = "talks"
	// line is what is sent there and back.
	line = "a line that comes back as it is\n"
)

// exec talks to a program that answers what it hears.
func (b *bench) exec(ctx context.Context, s *sheet) error {
	return b.inWorld(ctx, (*world).withMember, func(w *world, ctx context.Context) error {
		kubelet, err := testbed.ServeKubelet(ctx, w.direct, testbed.KubeletOptions{Node: "node", PKI: w.pki(), Dir: filepath.Join(w.config.Dir, "containers")})
		if err != nil {
			return err
		}
		err = kubelet.RunPod(ctx, w.direct, inMember, podName)
		for _, protocol := range []string{spdy, webSocket} {
			if err == nil {
				b.Say("exec by %s", protocol)
				err = w.roundTrips(ctx, s, protocol)
			}
			if err == nil {
				err = w.setUps(ctx, s, protocol)
			}
		}
		return errors.Join(err, kubelet.Close())
	})
}

// roundTrips sends lines through connections that are there.
func (w *world) roundTrips(ctx context.Context, s *sheet, protocol string) error {
	var sessions []*session
	for _, y := range w.ways {
		session, err := y.talk(ctx, protocol)
		if err != nil {
			return err
		}
		defer session.cancel() // if it was not ended before
		sessions = append(sessions, session)
	}
	lines := w.times(1000, 20)
	tallies, err := w.alternate(ctx, w.rounds, wayNames, func(ctx context.Context, i int) ([]time.Duration, error) {
		var took []time.Duration
		for range lines {
			asked := time.Now()
			if err := sessions[i].roundTrip(ctx); err != nil {
				return nil, err
			}
			took = append(took, time.Since(asked))
		}
		return took, nil
	})
	if err != nil {
		return err
	}
	for i, session := range sessions {
		if err := session.end(ctx); err != nil {
			return fmt.Errorf("%s: %w", wayNames[i], err)
		}
	}
	group := "exec by " + protocol + ", a line there and back"
	s.aims(group, "median, added", wayNames, tallies, added)
	s.compare(group, wayNames, tallies)
	return nil
}

// setUps makes connections, and ends them.
func (w *world) setUps(ctx context.Context, s *sheet, protocol string) error {
	const each = 3
	tallies, err := w.alternate(ctx, w.rounds, wayNames, func(ctx context.Context, i int) ([]time.Duration, error) {
		var took []time.Duration
		for range each {
			asked := time.Now()
			session, err := w.ways[i].talk(ctx, protocol)
			if err != nil {
				return nil, err
			}
			took = append(took, time.Since(asked))
			if err := session.end(ctx); err != nil {
				return nil, err
			}
		}
		return took, nil
	})
	if err != nil {
		return err
	}
	s.compare("exec by "+protocol+", until the first line is back", wayNames, tallies)
	return nil
}

// session is an exec of cat. It is used by one goroutine.
type session struct {
	in     *io.PipeWriter
	out    *io.PipeReader
	lines  *bufio.Reader
	ended  chan error // has what the exec returned
	cancel context.CancelFunc
}

// talk begins a session, and returns once a first line has come back. It ends with ctx at the latest.
func (y *way) talk(ctx context.Context, protocol string) (*session, error) {
	executor, err := y.executor(protocol)
	if err != nil {
		return nil, fmt.Errorf("%s: exec by %s: %w", y.name, protocol, err)
	}
	session := newSession(ctx, executor)
	if err := session.roundTrip(ctx); err != nil {
		session.cancel()
		return nil, fmt.Errorf("%s: exec by %s: %w", y.name, protocol, err)
	}
	return session, nil
}

func (y *way) executor(protocol string) (remotecommand.Executor, error) {
	client, err := kubernetes.NewForConfig(y.config)
	if err != nil {
		return nil, err
	}
	address := client.CoreV1().RESTClient().Get().Resource("pods").Namespace(y.namespace).Name(podName).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: "main", Command: []string{"cat"}, Stdin: true, Stdout: true}, scheme.ParameterCodec).URL()
	if protocol == webSocket {
		return remotecommand.NewWebSocketExecutor(y.config, http.MethodGet, address.String())
	}
	return remotecommand.NewSPDYExecutor(y.config, http.MethodPost, address)
}

func newSession(ctx context.Context, executor remotecommand.Executor) *session {
	ctx, cancel := context.WithCancel(ctx)
	stdin, in := io.Pipe()
	out, stdout := io.Pipe()
	s := &session{in: in, out: out, lines: bufio.NewReader(out), ended: make(chan error, 1), cancel: cancel}
	go func() { // ends with the input, or with cancel
		err := executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: stdin, Stdout: stdout})
		_ = stdin.CloseWithError(cmp.Or(err, io.ErrClosedPipe)) // so that nobody waits
		_ = stdout.CloseWithError(cmp.Or(err, io.EOF))
		s.ended <- err
	}()
	return s
}

// roundTrip sends a line, and waits until it is back.
func (s *session) roundTrip(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { s.cancel() }) // which ends the pipes
	defer stop()
	if _, err := io.WriteString(s.in, line); err != nil {
		return fmt.Errorf("send a line: %w", err)
	}
	got, err := s.lines.ReadString('\n')
	if err != nil {
		return fmt.Errorf("wait for a line: %w", err)
	}
	if got != line {
		return fmt.Errorf("%q came back in the place of %q", got, line)
	}
	return nil
}

// end ends the input, and waits until the program has ended.
func (s *session) end(ctx context.Context) error {
	defer s.cancel()
	_ = s.in.Close()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case <-ctx.Done():
		return fmt.Errorf("end an exec: %w", ctx.Err())
	case err := <-s.ended:
		return err
	}
}
