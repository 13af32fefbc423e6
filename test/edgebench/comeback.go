package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/koinon-io/koinon/cmd/koinon-edgehub/app"
	"github.com/koinon-io/koinon/cmd/koinon-playground/member"
	"github.com/koinon-io/koinon/cmd/koinon-playground/process"
	"github.com/koinon-io/koinon/test/bench/report"
)

const (
	manySites, servicesOfSites = 200, 50
	// podsOfSite gives the programs of a node about forty watches.
	podsOfSite = 10
	// away is how long sites have no API server, and after is how long is looked at what they do afterwards.
	away, after = time.Minute, 30 * time.Second
)

// comeBack tells what an API server has to do when all its nodes lose it for a minute and find it again, with hubs, and with the same programs without.
func (w *world) comeBack(ctx context.Context, s *sheet) error {
	sites := w.number(manySites, 4)
	w.Say("filling: %d nodes", sites)
	for _, fill := range []func() error{
		func() error { return w.fillNamespaces(ctx) },
		func() error { return w.fillNodes(ctx, sites) },
		func() error { return w.fillServices(ctx, 0, servicesOfSites, sites) },
		func() error { return w.fillSites(ctx, sites) },
	} {
		if err := fill(); err != nil {
			return err
		}
	}
	for _, how := range []struct {
		name  string
		fails func(*fleet) error
		back  func(context.Context, *fleet) error
	}{
		{"the link is cut", func(f *fleet) error { f.cable.sever(); return nil }, func(_ context.Context, f *fleet) error { f.cable.heal(); return nil }},
		{"the API server is killed", func(*fleet) error { return w.cluster.Kill(ctx, member.APIServer) }, func(ctx context.Context, _ *fleet) error { return w.restartAPIServer(ctx) }},
	} {
		for round := range max(1, w.rounds/3) { // each takes minutes
			for turn := range readColumns {
				column := readColumns[(round+turn)%len(readColumns)]
				w.Say("%s, %d sites, %s, round %d", how.name, sites, column, round+1)
				group := fmt.Sprintf("%d nodes find the API server again: %s for %s", sites, how.name, w.lasts(away))
				if err := w.comeBackOnce(ctx, s, group, column, sites, how.fails, how.back); err != nil {
					return fmt.Errorf("%s, %s: %w", how.name, column, err)
				}
			}
		}
	}
	s.note("each node's programs hold %d watches; there are %d Services", len(lists(edge, podsOfSite, false)), servicesOfSites)
	return nil
}

// fillSites makes, on each node, a pod that mounts what the programs of all of them watch.
func (w *world) fillSites(ctx context.Context, sites int) error {
	if err := w.fillPods(ctx, podsOfSite, edge); err != nil {
		return err
	}
	return many(sites*podsOfSite, func(i int) error {
		n, of := i/podsOfSite, i%podsOfSite
		if n == 0 {
			return nil // it has them
		}
		p := pod(of, nodeName(n))
		p.Name = fmt.Sprintf("%s-%d", p.Name, n)
		made, err := w.admin.CoreV1().Pods(p.Namespace).Create(ctx, p, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		_, err = w.admin.CoreV1().Pods(p.Namespace).UpdateStatus(ctx, running(made, i), metav1.UpdateOptions{})
		return err
	})
}

// fleet is all sites.
type fleet struct {
	*world
	cable *cable
	sites []*site
}

// comeBackOnce has all sites lose the API server and find it.
func (w *world) comeBackOnce(ctx context.Context, s *sheet, group, column string, sites int, fails func(*fleet) error, back func(context.Context, *fleet) error) (err error) {
	f := &fleet{world: w}
	if f.cable, err = newCable(w.apiServer()); err != nil {
		return err
	}
	defer f.cable.close()
	end, err := f.start(ctx, column, sites)
	defer end()
	if err != nil {
		return err
	}
	if err := f.change(ctx, "before"+strconv.FormatInt(time.Now().UnixNano(), 10)); err != nil {
		return err
	}
	if err := fails(f); err != nil {
		return err
	}
	if err := pause(ctx, w.lasts(away)); err != nil {
		return err
	}
	f.cable.sever() // nobody is there before it is looked
	before := f.counts(ctx)
	began := time.Now()
	if err := back(ctx, f); err != nil {
		return err
	}
	f.cable.heal()
	if ready := time.Since(began); ready > time.Second {
		began, before = time.Now(), f.counts(ctx) // what it takes to start an API server is not what is measured
	}
	if err := f.change(ctx, strconv.FormatInt(began.UnixNano(), 10)); err != nil {
		return err
	}
	took := time.Since(began)
	if err := pause(ctx, w.lasts(after)-took); err != nil {
		return err
	}
	now := f.counts(ctx)
	add := func(name, unit string, value float64) {
		s.add(column, report.Measure{Group: group, Name: name, Unit: unit}, value)
	}
	add("until all follow", "s", took.Seconds())
	add("processor time of the API server and etcd", "s", now.cpu-before.cpu)
	add("requests", "", now.requests-before.requests)
	add("connections", "", now.connections-before.connections)
	add("bytes", "MB", (now.bytes-before.bytes)/1e6)
	return nil
}

// start has sites follow by a way.
func (f *fleet) start(ctx context.Context, column string, sites int) (end func(), err error) {
	var options []*app.Options
	end = func() {
		for _, s := range f.sites {
			s.end()
		}
		for _, s := range f.sites {
			s.close()
		}
	}
	ways := make([]*way, sites)
	for i := range ways {
		if column == direct {
			if ways[i], err = f.wayDirect(nodeName(i), f.cable.url()); err != nil {
				return end, err
			}
			continue
		}
		o, err := f.hubOptions(nodeName(i), f.cable.url())
		if err != nil {
			return end, err
		}
		if ways[i], err = wayThrough(o); err != nil {
			return end, err
		}
		options = append(options, o)
	}
	if options != nil {
		kill, err := f.startHubs(options)
		if err != nil {
			return end, err
		}
		ended := end
		end = func() { ended(); kill() }
	}
	for i, y := range ways {
		one, err := f.startSite(y, lists(nodeName(i), podsOfSite, false), mark)
		if err != nil {
			return end, err
		}
		f.sites = append(f.sites, one)
	}
	for _, one := range f.sites {
		if err := eventually(ctx, "all sites have read", one.hasSynced); err != nil {
			return end, err
		}
	}
	return end, nil
}

// startHubs runs hubs in a process.
func (f *fleet) startHubs(options []*app.Options) (kill func(), err error) {
	name := "hubs-" + filepath.Base(options[0].StateDir)
	file := filepath.Join(f.dir, name+".json")
	text, err := json.Marshal(role{Hubs: options})
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	spec := process.Spec{Path: program, Env: []string{roleVariable + "=" + file}, LogFile: filepath.Join(f.dir, name+".log"), PIDFile: filepath.Join(f.dir, name+".pid"), Tied: true}
	return func() { _ = process.Stop(context.Background(), spec.PIDFile, 0) }, process.Start(spec)
}

// change changes some objects of what all sites follow, and waits until all have seen it.
func (f *fleet) change(ctx context.Context, value string) error {
	if err := f.changeAll(ctx, value); err != nil {
		return err
	}
	const services, slices = 3, 2 // as often as they are followed
	for _, one := range f.sites {
		if err := eventually(ctx, "all sites follow", func(context.Context) error { return one.sees(value, 2*podsOfSite+services+slices) }); err != nil {
			return err
		}
	}
	return nil
}

// changeAll changes, of what each site follows, one object of several kinds.
func (w *world) changeAll(ctx context.Context, value string) error {
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%q}}}`, mark, value)
	for i := range podsOfSite {
		if _, err := w.admin.CoreV1().ConfigMaps(podNamespace(i)).Patch(ctx, settings(i).Name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			return err
		}
		if _, err := w.admin.CoreV1().Secrets(podNamespace(i)).Patch(ctx, password(i).Name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			return err
		}
	}
	if _, err := w.admin.CoreV1().Services(serviceNamespace(0)).Patch(ctx, serviceName(0), types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		return err
	}
	_, err := w.admin.DiscoveryV1().EndpointSlices(serviceNamespace(0)).Patch(ctx, slice(0, 1, 0, true).Name, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}

// counts are what an API server has done so far.
type counts struct{ cpu, requests, connections, bytes float64 }

// counts are those of now. Requests are those that have ended, and those that last; before an API server is there they are 0.
func (f *fleet) counts(ctx context.Context) (c counts) {
	for _, program := range []string{member.APIServer, member.Etcd} {
		if pid, running := f.cluster.Running(program); running {
			c.cpu += process.ProcessorTime(pid)
		}
	}
	if text, err := f.admin.CoreV1().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx); err == nil {
		m := metricsIn(string(text))
		c.requests = m["apiserver_request_total"] + m["apiserver_longrunning_requests"]
	}
	c.connections, c.bytes = float64(f.cable.begun.Load()), float64(f.cable.carried.Load())
	return c
}
