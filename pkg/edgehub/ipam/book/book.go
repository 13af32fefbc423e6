package book

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

// DefaultDir is where the book is unless a network's configuration says otherwise.
const DefaultDir = "/var/lib/koinon-ipam"

var (
	// ErrNewer: a newer version has written the book. It is not touched.
	ErrNewer = errors.New("a newer version has written it")
	// ErrDamaged: the book is not what was written. Open puts it aside, and begins a new one.
	ErrDamaged = errors.New("it is damaged")
)

// Reservation is what is kept for an interface of a pod, or of a sandbox that is no pod's.
type Reservation struct {
	// Network is the name in the network's configuration, Interface that of the interface, such as eth0.
	Network   string `json:"network"`
	Interface string `json:"interface"`
	// UID is the pod's, as kubelet knows it: that of a static pod is its mirror pod's annotation kubernetes.io/config.mirror. Empty if nobody said: such a
	// reservation ends with its sandbox.
	UID string `json:"uid,omitempty"`
	// Namespace and Name are the pod's. They are empty if the delegate's files were all there was to know it from.
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
	// Addresses are what is kept. None: the delegate was asked, and has not answered; it is forgotten by the next call.
	Addresses []netip.Addr `json:"addresses,omitempty"`
	// Sandbox is the container ID of what has the addresses, or had them last, Netns where its network namespace is, Boot when it was made, as Boot has it; no Boot if it is gone.
	Sandbox string `json:"sandbox,omitempty"`
	Netns   string `json:"netns,omitempty"`
	Boot    string `json:"boot,omitempty"`
	// Gone: the pod is not there any more, says who knows. The addresses are given back by the plugin's next call, if no sandbox has them.
	Gone bool `json:"gone,omitempty"`
}

// delegateID is what a pod's reservation is called in the delegate's files, before the UID.
const delegateID = "koinon-"

// ID is the container ID that the delegate knows it by: one for all sandboxes that a pod has in its life.
func (r *Reservation) ID() string {
	if r.UID != "" {
		return delegateID + r.UID
	}
	return r.Sandbox
}

// UIDOf returns the UID in a container ID that ID has made, "" if it is another's.
func UIDOf(id string) string {
	uid, ours := strings.CutPrefix(id, delegateID)
	if !ours {
		return ""
	}
	return uid
}

// InUse reports whether a sandbox has the addresses now. A sandbox ends with its network namespace, and with the boot.
func (r *Reservation) InUse(boot string) bool {
	if r.Boot == "" || r.Boot != boot {
		return false
	}
	if r.Netns == "" {
		return true
	}
	_, err := os.Stat(r.Netns)
	return !errors.Is(err, fs.ErrNotExist)
}

// Detach says that its sandbox is gone.
func (r *Reservation) Detach() { r.Netns, r.Boot = "", "" }

// Boot says which boot of the machine this is.
func Boot() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(id))
}

// Book is a directory. It may be used concurrently, by several processes.
type Book struct{ dir string }

// In returns the book in a directory, which need not be there.
func In(dir string) *Book { return &Book{dir} }

func (b *Book) path() string { return filepath.Join(b.dir, "reservations") }

// Reservations returns all there are, without waiting for anybody. The error is ErrDamaged or ErrNewer if it is about what is in the file.
func (b *Book) Reservations() ([]Reservation, error) {
	written, err := b.read()
	return written.Reservations, err
}

// Release says which pods are gone, and returns those of which nobody had said it. The plugin gives back their addresses when it is called next, but never while a
// sandbox still has them.
//
// gone is asked about all reservations of pods, and what it says replaces what was said before. It has to know all pods of the node: who does not, does not call Release, for
// unknown is not absent. A pod that has ended (phase Succeeded or Failed) needs no address, and may be called gone. gone is called while the plugin waits, and should do nothing
// that takes long. Among answers it for a list.
//
// No plugin is called, and after an error everything is as it was.
func (b *Book) Release(ctx context.Context, gone func(Reservation) bool) ([]Reservation, error) {
	if _, err := os.Stat(b.path()); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	pages, err := b.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer pages.Close()
	var released []Reservation
	changed := false
	for i := range pages.Reservations {
		r := &pages.Reservations[i]
		if r.UID == "" || r.Gone == gone(*r) {
			continue
		}
		r.Gone, changed = !r.Gone, true
		if r.Gone {
			released = append(released, *r)
		}
	}
	if !changed {
		return nil, nil
	}
	return released, pages.Save()
}

// Pages are a book that nobody else changes, until Close.
type Pages struct {
	written
	// Damaged is why there is nothing in it although something was: the file was put aside.
	Damaged error
	book    *Book
	lock    *os.File
}

// written is what is in the file.
type written struct {
	// Networks are those whose delegate's files have been looked at.
	Networks     []string      `json:"networks,omitempty"`
	Reservations []Reservation `json:"reservations,omitempty"`
}

// Open waits until nobody else has the book, and takes it. It makes the directory if there is none.
func (b *Book) Open(ctx context.Context) (*Pages, error) {
	if err := makeDir(b.dir); err != nil {
		return nil, err
	}
	lock, err := takeLock(ctx, filepath.Join(b.dir, "lock"))
	if err != nil {
		return nil, err
	}
	pages := &Pages{book: b, lock: lock}
	if err := pages.load(); err != nil {
		pages.Close()
		return nil, err
	}
	return pages, nil
}

func (p *Pages) load() (err error) {
	p.written, err = p.book.read()
	if !errors.Is(err, ErrDamaged) {
		return err
	}
	p.Damaged = err
	if err := os.Rename(p.book.path(), p.book.path()+".damaged"); err != nil {
		return fmt.Errorf("put aside what is damaged: %w", err)
	}
	return nil
}

// Lock is the file whose lock is held: a process that inherits it holds the lock, too.
func (p *Pages) Lock() *os.File { return p.lock }

// Save writes what is there. After an error the file has what it had.
func (p *Pages) Save() error {
	data, err := encode(p.written)
	if err != nil {
		return err
	}
	return writeFile(p.book.dir, "reservations", data)
}

// Close lets others have the book. What was not saved is as if it had not been.
func (p *Pages) Close() { _ = p.lock.Close() }

// Find returns the reservation for which is is true, nil if there is none. It may be changed.
func (p *Pages) Find(is func(*Reservation) bool) *Reservation {
	for i := range p.Reservations {
		if is(&p.Reservations[i]) {
			return &p.Reservations[i]
		}
	}
	return nil
}

func (b *Book) read() (written, error) {
	data, err := os.ReadFile(b.path())
	if errors.Is(err, fs.ErrNotExist) {
		return written{}, nil
	} else if err != nil {
		return written{}, fmt.Errorf("read what is kept for pods: %w", err)
	}
	w, err := decode(data)
	if err != nil {
		return written{}, fmt.Errorf("%s: %w", b.path(), err)
	}
	return w, nil
}
