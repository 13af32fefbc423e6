package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"github.com/koinon-io/koinon/test/bench/report"
)

const (
	withoutNodes = "own node"
	withNodes    = "all nodes"

	manyNodes, podsOfNode = 1000, 110
	// heartbeat is how often each node says that it is well, and renewal how often this one renews its Lease.
	heartbeat, renewal = 5 * time.Minute, 10 * time.Second
	// rollouts is how many rolling updates there are a day.
	rollouts = 24
	day      = 24 * time.Hour
	// residentAim is what it may occupy with aimServices Services, in MiB.
	residentAim, aimServices = 40, 1000
)

// footprint tells what the hub uses with more and more Services, for a node whose programs read their own node alone, and for one with flannel, which reads all of them.
func (w *world) footprint(ctx context.Context, s *sheet) error {
	nodes, pods := w.number(manyNodes, 20), w.number(podsOfNode, 10)
	w.Say("filling: %d nodes, %d pods", nodes, pods)
	for _, fill := range []func() error{
		func() error { return w.fillNamespaces(ctx) },
		func() error { return w.fillNodes(ctx, nodes) },
		func() error { return w.fillPods(ctx, pods, edge) },
	} {
		if err := fill(); err != nil {
			return err
		}
	}
	there := 0
	for _, services := range []int{0, w.number(100, 10), w.number(1000, 20), w.number(10000, 40)} {
		if services > w.services {
			break
		}
		w.Say("filling: %d Services", services)
		if err := w.fillServices(ctx, there, services, nodes); err != nil {
			return err
		}
		there = services
		for _, column := range []string{withoutNodes, withNodes} {
			f := &footprints{world: w, sheet: s, column: column, services: services, nodes: nodes, all: lists(edge, pods, column == withNodes)}
			if err := f.measure(ctx); err != nil {
				return fmt.Errorf("%d Services, %s: %w", services, column, err)
			}
		}
	}
	sizes, err := w.sizes(ctx)
	if err != nil {
		return err
	}
	s.note("objects as JSON, bytes: %s", sizes)
	s.note("the node has %d pods, its programs hold %d watches and flannel one more; a Service has %d endpoints in one slice; there are %d nodes", pods, len(lists(edge, pods, false)), endpointsEach, nodes)
	s.note("while it is looked at, each node says every %s that it is well, the node renews its Lease every %s through the hub, and there is one rolling update an hour of a Service with %d endpoints, which is %d changes of its slice", heartbeat, renewal, endpointsEach, 2*endpointsEach)
	info, err := os.Stat(w.binary("koinon-edgehub"))
	if err != nil {
		return err
	}
	s.note("koinon-edgehub as it is built: %.1f MiB", float64(info.Size())/mebi)
	return nil
}

// footprints are those of one hub.
type footprints struct {
	*world
	sheet           *sheet
	column          string
	services, nodes int
	all             []list
	hub             *hub
	cable           *cable
	programs        *site
}

// stop has the node lose its power.
func (f *footprints) stop(ctx context.Context) {
	f.leave()
	f.hub.kill(ctx)
}

// leave ends the node's programs.
func (f *footprints) leave() {
	if f.programs != nil {
		f.programs.close()
		f.programs = nil
	}
}

func (f *footprints) add(name, unit string, value float64) {
	f.sheet.add(f.column, report.Measure{Group: fmt.Sprintf("%d Services, %d endpoints", f.services, f.services*endpointsEach), Name: name, Unit: unit}, value)
}

// measure has a hub begin with nothing, run for a while, and be restarted.
func (f *footprints) measure(ctx context.Context) (err error) {
	f.Say("%d Services, %s", f.services, f.column)
	if f.cable, err = newCable(f.apiServer()); err != nil {
		return err
	}
	defer f.cable.close()
	if f.hub, err = f.newHub(edge, f.cable.url()); err != nil {
		return err
	}
	defer f.stop(ctx)
	took, used, err := f.begin(ctx)
	if err != nil {
		return err
	}
	f.add("first start: until all is read", "s", took.Seconds())
	f.add("first start: upstream", "MB", float64(f.cable.carried.Load())/1e6)
	f.add("first start: processor time", "s", used.cpu)
	f.add("first start: RSS when it has settled", "MiB", used.resident/mebi)
	f.add("first start: of that anonymous, which is no part of the program's file", "MiB", used.anonymous/mebi)
	f.add("first start: RSS at most", "MiB", used.peak/mebi)
	f.add("first start: heap", "MiB", used.heap/mebi)
	f.add("on disk", "MB", used.disk/1e6)
	if err := f.hub.writeProfile(ctx); err != nil {
		return err
	}
	if f.services == f.number(aimServices, 20) {
		f.sheet.AtMost(fmt.Sprintf("RSS with %d Services, %s, MiB", f.services, f.column), used.resident/mebi, residentAim)
	}
	f.stop(ctx)
	before := f.cable.carried.Load()
	if took, used, err = f.begin(ctx); err != nil {
		return err
	}
	f.add("restart: until all is read", "s", took.Seconds())
	f.add("restart: upstream", "MB", float64(f.cable.carried.Load()-before)/1e6)
	f.add("restart: processor time", "s", used.cpu)
	f.add("restart: RSS when it has settled", "MiB", used.resident/mebi)
	f.add("restart: of that anonymous", "MiB", used.anonymous/mebi)
	f.add("restart: RSS at most", "MiB", used.peak/mebi)
	if err := f.update(ctx); err != nil {
		return err
	}
	return f.live(ctx)
}

// update has the hub end in peace and another one begin, as when its package is updated.
func (f *footprints) update(ctx context.Context) error {
	f.leave()
	if err := f.hub.end(ctx); err != nil {
		return err
	}
	before := f.cable.carried.Load()
	took, _, err := f.begin(ctx)
	f.add("update: until all is read", "s", took.Seconds())
	f.add("update: upstream", "MB", float64(f.cable.carried.Load()-before)/1e6)
	return err
}

// begin starts the hub and the node's programs, and returns what the hub uses once it has settled.
func (f *footprints) begin(ctx context.Context) (took time.Duration, used footprint, err error) {
	began := time.Now()
	if err := f.hub.start(ctx); err != nil {
		return 0, used, err
	}
	y, err := wayThrough(f.hub.options)
	if err != nil {
		return 0, used, err
	}
	if f.programs, err = f.startSite(y, f.all, ""); err != nil {
		return 0, used, err
	}
	if err := eventually(ctx, "the node's programs have read", f.programs.hasSynced); err != nil {
		return 0, used, err
	}
	if err := f.hub.follows(ctx, len(f.all)-2); err != nil { // kube-proxy's view of the node is kubelet's
		return 0, used, err
	}
	took = time.Since(began)
	if err := f.hub.settle(ctx); err != nil {
		return 0, used, err
	}
	used, err = f.hub.footprintNow(ctx)
	return took, used, err
}

// live looks at a hub while the cluster goes on as clusters do.
func (f *footprints) live(ctx context.Context) error {
	y, err := wayThrough(f.hub.options)
	if err != nil {
		return err
	}
	y.kubelet.QPS = -1
	kubelet, err := kubernetes.NewForConfig(y.kubelet)
	if err != nil {
		return err
	}
	lasts := f.lasts(f.lookFor)
	quiet, err := f.during(ctx, lasts, func(ctx context.Context) error { return f.heartbeats(ctx, kubelet) })
	if err != nil {
		return err
	}
	perDay := float64(day) / float64(lasts)
	f.add("runs: processor time an hour", "s", quiet.cpu*float64(time.Hour)/float64(lasts))
	f.add("runs: upstream a day", "MB", quiet.upstream*perDay/1e6)
	written := quiet.written * perDay
	if f.services > 0 {
		const apart = 2 * time.Second
		rolls := time.Duration(2*endpointsEach) * apart
		rolling, err := f.during(ctx, rolls+apart, func(ctx context.Context) error { return f.roll(ctx, apart) })
		if err != nil {
			return err
		}
		f.add("runs: written to disk by a rolling update", "kB", rolling.written/1e3)
		written += rolling.written * rollouts
	}
	if f.column == withoutNodes { // what others say of themselves is written when there is a lot of it: see the row disk
		f.add("runs: written to disk a day", "MB", written/1e6)
	}
	used, err := f.hub.footprintNow(ctx)
	if err != nil {
		return err
	}
	f.add("runs: RSS", "MiB", used.resident/mebi)
	return nil
}

// spent is what was used in a time.
type spent struct{ cpu, written, upstream float64 }

// during returns what the hub uses while something is done, for a time.
func (f *footprints) during(ctx context.Context, lasts time.Duration, do func(context.Context) error) (s spent, err error) {
	before, err := f.hub.footprintNow(ctx)
	if err != nil {
		return s, err
	}
	carried := f.cable.carried.Load()
	until, cancel := context.WithTimeout(ctx, lasts)
	defer cancel()
	if err := do(until); err != nil && until.Err() == nil {
		return s, err
	}
	<-until.Done()
	after, err := f.hub.footprintNow(ctx)
	return spent{after.cpu - before.cpu, after.written - before.written, float64(f.cable.carried.Load() - carried)}, err
}

// heartbeats has nodes say that they are well, until ctx ends.
func (f *footprints) heartbeats(ctx context.Context, kubelet kubernetes.Interface) error {
	renew, beat := time.NewTicker(renewal), time.NewTicker(heartbeat/time.Duration(f.nodes))
	defer renew.Stop()
	defer beat.Stop()
	if err := renewLease(ctx, kubelet); err != nil {
		return err
	}
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return nil
		case <-renew.C:
			if err := renewLease(ctx, kubelet); err != nil {
				return err
			}
		case <-beat.C:
			if err := f.beat(ctx, i%f.nodes); err != nil {
				return err
			}
		}
	}
}

// beat has a node say that it is well.
func (f *footprints) beat(ctx context.Context, i int) error {
	patch, err := json.Marshal(map[string]any{"status": corev1.NodeStatus{Conditions: nodeConditions(metav1.Now())}})
	if err != nil {
		return err
	}
	_, err = f.admin.CoreV1().Nodes().Patch(ctx, nodeName(i), types.StrategicMergePatchType, patch, metav1.PatchOptions{FieldManager: "kubelet"}, "status")
	return err
}

// renewLease does so as kubelet does, through the hub.
func renewLease(ctx context.Context, kubelet kubernetes.Interface) error {
	leases := kubelet.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	lease, err := leases.Get(ctx, edge, metav1.GetOptions{})
	if err != nil {
		lease = &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: edge}, Spec: coordinationv1.LeaseSpec{HolderIdentity: ptr.To(edge), LeaseDurationSeconds: ptr.To[int32](40)}}
		lease, err = leases.Create(ctx, lease, metav1.CreateOptions{})
	}
	if err != nil {
		return err
	}
	lease.Spec.RenewTime = ptr.To(metav1.NowMicro())
	_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
	return err
}

// roll changes a slice as a rolling update does: one address after the other goes, and another one comes.
func (f *footprints) roll(ctx context.Context, apart time.Duration) error {
	slices := f.admin.DiscoveryV1().EndpointSlices(serviceNamespace(0))
	for i := range 2 * endpointsEach {
		now, err := slices.Get(ctx, slice(0, f.nodes, 0, true).Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		next := slice(0, f.nodes, i/2+1, i%2 == 1)
		next.ResourceVersion = now.ResourceVersion
		if _, err := slices.Update(ctx, next, metav1.UpdateOptions{FieldManager: "kube-controller-manager"}); err != nil {
			return err
		}
		if err := pause(ctx, apart); err != nil {
			return err
		}
	}
	return nil
}
