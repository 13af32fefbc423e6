package doors

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/frontend"
	"github.com/koinon-io/koinon/pkg/tunnel/frontend/konnectivity"
)

const (
	connectEnding = ".sock"
	// grpcEnding ends the names of sockets for konnectivity's protocol. The name of a cluster must not end as what is before .sock in it.
	grpcEnding = ".grpc.sock"
	// lockName is a file in the directory that a process has locked.
	lockName = ".koinon-tunnel.lock"
	// directoryMode is that of a directory that is made.
	directoryMode = 0o750
	// others is the right of everybody to write.
	others = 0o002
	// reopen is how often it is tried to open sockets that could not be opened.
	reopen = 10 * time.Second
)

// Directory is one that this process alone has sockets in.
type Directory struct {
	path string
	lock *os.File
}

// OpenDirectory makes the directory if it is not there, and locks it: the lock goes with the process, however it ends.
func OpenDirectory(path string) (*Directory, error) {
	if err := os.MkdirAll(path, directoryMode); err != nil {
		return nil, fmt.Errorf("the directory for sockets of the tunnel: %w", err)
	}
	found, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("the directory for sockets of the tunnel: %w", err)
	}
	if found.Mode().Perm()&others != 0 {
		return nil, fmt.Errorf("the directory %s for sockets of the tunnel: everybody may write it, and could put a socket of his own in the place of one: only its owner and group may be allowed to", path)
	}
	lock, err := os.OpenFile(filepath.Join(path, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the directory for sockets of the tunnel: %w", err)
	}
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = errors.New("another process has it: give each its own directory")
	}
	if err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("the directory %s for sockets of the tunnel: %w", path, err)
	}
	return &Directory{path: path, lock: lock}, nil
}

// Close gives the directory free for another process.
func (d *Directory) Close() { _ = d.lock.Close() }

// clean removes sockets of a process that was killed, and what it was about to make. One that somebody listens on is another program's, and stays.
func (d *Directory) clean() error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return err
	}
	var errs []error
	for _, entry := range entries {
		path := filepath.Join(d.path, entry.Name())
		switch {
		case entry.Type() == fs.ModeSocket && strings.HasSuffix(entry.Name(), connectEnding):
			if !abandoned(path) {
				continue
			}
			errs = append(errs, os.Remove(path))
		case entry.IsDir() && strings.HasPrefix(entry.Name(), frontend.UnfinishedSocket):
			_ = os.Remove(filepath.Join(path, "s"))
			_ = os.Remove(path) // what is another's has something else in it, and stays
		}
	}
	return errors.Join(errs...)
}

// abandoned reports whether nobody listens on a socket.
func abandoned(path string) bool {
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		_ = conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// sockets are those of all clusters.
type sockets struct {
	dir   *Directory
	front *frontend.Frontend
	// carrying ends when what is carried is to be cut, and carried are goroutines that end then.
	carrying context.Context
	carried  *sync.WaitGroup
	changed  chan struct{}

	// open are those that there are, by cluster; nil for one that cannot have any. It is for run alone.
	open map[string]*pair
}

func newSockets(dir *Directory, front *frontend.Frontend, carrying context.Context, carried *sync.WaitGroup) *sockets {
	return &sockets{dir: dir, front: front, carrying: carrying, carried: carried, changed: make(chan struct{}, 1), open: map[string]*pair{}}
}

// pair are the sockets of a cluster.
type pair struct{ listeners []net.Listener }

// close takes no more clients. What is carried goes on.
func (p *pair) close() {
	if p == nil {
		return
	}
	for _, l := range p.listeners {
		_ = l.Close()
	}
}

// follow has run look again when KubeFedClusters come and go, until stop is called.
func (s *sockets) follow(parts Parts) (stop func(), err error) {
	tell := func(any) {
		select {
		case s.changed <- struct{}{}:
		default:
		}
	}
	registration, err := parts.Members.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: tell, DeleteFunc: tell, UpdateFunc: func(old, object any) {
			if (memberOf(old) == nil) != (memberOf(object) == nil) {
				tell(object)
			}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("follow KubeFedClusters: %w", err)
	}
	return func() { _ = parts.Members.RemoveEventHandler(registration) }, nil
}

// run has sockets for the clusters that wanted returns, until ctx ends.
func (s *sockets) run(ctx context.Context, wanted func() map[string]bool) {
	logger := klog.FromContext(ctx)
	if err := s.dir.clean(); err != nil {
		logger.Error(err, "Failed to remove sockets of a process that has ended")
	}
	logger.Info("Programs of this machine can connect through the tunnel", "directory", s.dir.path)
	defer func() {
		for _, p := range s.open {
			p.close()
		}
	}()
	ticker := time.NewTicker(reopen)
	defer ticker.Stop()
	for {
		s.update(ctx, wanted())
		select {
		case <-ctx.Done():
			return
		case <-s.changed:
		case <-ticker.C:
			s.closeRemoved()
		}
	}
}

// update opens and closes what is to be.
func (s *sockets) update(ctx context.Context, wanted map[string]bool) {
	logger := klog.FromContext(ctx)
	for name, p := range s.open {
		if !wanted[name] {
			p.close()
			delete(s.open, name)
			logger.V(2).Info("Closed sockets of a cluster", "cluster", name)
		}
	}
	for name := range wanted {
		if _, ok := s.open[name]; ok {
			continue
		}
		p, err := s.openPair(ctx, name)
		var never *neverError
		if err == nil || errors.As(err, &never) {
			s.open[name] = p
		}
		if err != nil {
			logger.Error(err, "A cluster has no sockets", "cluster", name)
			continue
		}
		logger.V(2).Info("Opened sockets of a cluster", "cluster", name)
	}
}

// closeRemoved closes those of which somebody has removed a file: they are made anew.
func (s *sockets) closeRemoved() {
	for name, p := range s.open {
		if p != nil && slices.ContainsFunc(p.listeners, removed) {
			p.close()
			delete(s.open, name)
		}
	}
}

func removed(l net.Listener) bool {
	_, err := os.Lstat(l.Addr().String())
	return errors.Is(err, fs.ErrNotExist)
}

// neverError is why a cluster cannot have sockets.
type neverError struct{ error }

func (e *neverError) Unwrap() error { return e.error }

// openPair opens the sockets of a cluster, and serves them.
func (s *sockets) openPair(ctx context.Context, name string) (*pair, error) {
	if strings.HasSuffix(name+connectEnding, grpcEnding) {
		return nil, &neverError{fmt.Errorf("the name of cluster %q ends with %s, as those of sockets for gRPC do: it is reached by the port with TLS", name, strings.TrimSuffix(grpcEnding, connectEnding))}
	}
	client := frontend.Client{Tenant: "socket:" + name, Within: tunnel.Name{Cluster: name}}
	connect, err := frontend.ListenUnix(filepath.Join(s.dir.path, name+connectEnding))
	if err != nil {
		return nil, unlessTooLong(err)
	}
	grpc, err := frontend.ListenUnix(filepath.Join(s.dir.path, name+grpcEnding))
	if err != nil {
		_ = connect.Close()
		return nil, unlessTooLong(err)
	}
	logger := klog.FromContext(ctx)
	serve := func(socket net.Listener, do func() error) {
		s.carried.Go(func() { // ends with the listener, or carrying
			if err := do(); err != nil {
				logger.Error(err, "Stopped serving a socket", "socket", socket.Addr().String())
			}
		})
	}
	serve(connect, func() error { return s.front.Serve(s.carrying, connect, frontend.Door{Client: client}) })
	serve(grpc, func() error { return konnectivity.Serve(s.carrying, grpc, s.front, client) })
	return &pair{[]net.Listener{connect, grpc}}, nil
}

func unlessTooLong(err error) error {
	if errors.Is(err, frontend.ErrLongPath) {
		return &neverError{err}
	}
	return err
}
