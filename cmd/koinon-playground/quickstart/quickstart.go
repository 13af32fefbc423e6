// Package quickstart brings up Koinon with members, cells and the examples, and shows
// what landed where.
//
// Up is idempotent: it starts what does not run and makes what is missing, and leaves
// everything else as it is; so objects that its user has changed stay changed.
package quickstart

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/koinon-io/koinon/cmd/koinon-playground/home"
	"github.com/koinon-io/koinon/cmd/koinon-playground/koinon"
	"github.com/koinon-io/koinon/cmd/koinon-playground/kubeconfig"
	"github.com/koinon-io/koinon/cmd/koinon-playground/member"
	"github.com/koinon-io/koinon/cmd/koinon-playground/process"
	"github.com/koinon-io/koinon/cmd/koinon-playground/steps"
)

// MinMembers is how many members the examples need; MaxMembers is what a machine is
// asked to carry.
const (
	MinMembers = 2
	MaxMembers = 20
)

// Options say what to bring up.
type Options struct {
	// Dir of the playground.
	Dir string
	// Members is how many there shall be; a playground that has more keeps them.
	Members int
	// Datastore is the DSN of Koinon's store; empty is what it was the last time, or
	// SQLite.
	Datastore string
	// Binary is koinon-playground, KoinonBinary is koinon.
	Binary       string
	KoinonBinary string
	// Out receives the steps, the table and the next commands.
	Out io.Writer
}

// Up brings everything up.
func Up(ctx context.Context, o Options) error {
	if o.Members < MinMembers || o.Members > MaxMembers {
		return fmt.Errorf("--members=%d must be %d (the examples name m1 and m2) to %d", o.Members, MinMembers, MaxMembers)
	}
	printer := steps.New(o.Out)
	h, err := home.Create(ctx, o.Dir)
	if err != nil {
		return err
	}
	defer h.Close()
	q := &quickstart{Options: o, home: h, steps: printer}
	if err := q.plan(); err != nil {
		return err
	}
	if err := q.startAll(ctx); err != nil {
		return err
	}
	if err := q.steps.Do("kubeconfig: written", func() (string, error) { return h.Kubeconfig(), q.writeKubeconfig() }); err != nil {
		return err
	}
	if err := q.joinAll(ctx); err != nil {
		return err
	}
	if err := q.runExamples(ctx); err != nil {
		return err
	}
	return q.printNext()
}

// quickstart is one run of Up.
type quickstart struct {
	Options
	home    *home.Home
	steps   *steps.Printer
	koinon  *koinon.Server
	members []*member.Cluster
}

// plan notes what shall run, before anything does: whatever happens then, down finds it.
func (q *quickstart) plan() error {
	if q.home.Mark.Koinon == nil {
		q.home.Mark.Koinon = &home.KoinonMark{}
	}
	if q.Datastore != "" {
		q.home.Mark.Koinon.Datastore = q.Datastore
	}
	for i := range q.Members {
		if err := q.home.Add(home.ClusterMark{Name: "m" + strconv.Itoa(i+1), Nodes: 2}); err != nil {
			return err
		}
	}
	if err := q.home.Save(); err != nil {
		return err
	}
	return q.load()
}

func (q *quickstart) load() error {
	var err error
	if q.koinon, err = koinonOf(q.home, q.KoinonBinary); err != nil {
		return err
	}
	for _, mark := range q.home.Mark.Clusters {
		cluster, err := q.home.Cluster(mark, q.Binary)
		if err != nil {
			return err
		}
		cluster.Report = func(step string, took time.Duration) { q.steps.Done(mark.Name+": "+step, took, "") }
		q.members = append(q.members, cluster)
	}
	return nil
}

func koinonOf(h *home.Home, binary string) (*koinon.Server, error) {
	return koinon.New(koinon.Config{
		Binary:    binary,
		DataDir:   h.Path("koinon"),
		LogFile:   h.Path("logs", "koinon.log"),
		PIDFile:   h.KoinonPIDFile(),
		Port:      h.Mark.Koinon.Port,
		Datastore: h.Mark.Koinon.Datastore,
		// The merged kubeconfig has a copy of the certificate, which nobody renews before the
		// next "up".
		Args: []string{"--admin-certificate-lifetime=168h"},
	})
}

// startAll starts Koinon and all members at once.
func (q *quickstart) startAll(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return q.steps.Do("koinon: ready", func() (string, error) {
			err := q.koinon.StartOnAnyPort(ctx)
			return q.koinon.URL(), err
		})
	})
	for _, m := range q.members {
		group.Go(func() error { return m.Start(ctx) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	q.home.Mark.Koinon.Port = q.koinon.Port
	return q.home.Save()
}

// writeKubeconfig writes the contexts of Koinon and the members. Those that users have added, as by
// "kubectl koinon kubeconfig --merge", stay.
func (q *quickstart) writeKubeconfig() error {
	sources := []kubeconfig.Source{{Context: home.Koinon, File: q.koinon.Kubeconfig()}}
	for _, m := range q.members {
		sources = append(sources, kubeconfig.Source{Context: m.Name, File: m.Kubeconfig()})
	}
	merged, err := kubeconfig.Merge(sources...)
	if err != nil {
		return err
	}
	if err := kubeconfig.Keep(merged, q.home.Kubeconfig()); err != nil {
		return err
	}
	return kubeconfig.Write(q.home.Kubeconfig(), merged)
}

// logHint is what ends an error of the control plane's: where to read on.
func (q *quickstart) logHint() string {
	return fmt.Sprintf("; the last lines of %s:\n%s", q.koinon.LogFile, process.Tail(q.koinon.LogFile, 8))
}
