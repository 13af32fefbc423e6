package testbed

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/koinon-io/koinon/cmd/koinon-playground/process"
)

// Node is a real node of a cluster: kubelet as Kubernetes makes it, and Debian's containerd with the
// containers that it runs, on a machine made of namespaces. A cable joins it to the machine that the
// tests run on, which hack/own-machine.sh makes: its API server is at the other end.
//
// It has NodeImage, and no other. No kube-proxy runs, so that no Service has an address there, and no
// DNS.
type Node struct {
	place   place
	cluster *Cluster
	// client is the administrator's of the cluster.
	client kubernetes.Interface
	name   string
	// number of the node among those of the test's process: it is in its addresses.
	number int
	// group is the control group of the node.
	group string
	// server is the API server as the node sees it.
	server  *Balancer
	options NodeOptions
}

// NodeOptions say what node it is.
type NodeOptions struct {
	// Hidden is a node to which nobody can connect, as at an edge: its kubelet listens on the node's own loopback alone, with a certificate for the node's name. It is Ready
	// once kubelet says so; until something else carries connections there, the API server does not reach it.
	Hidden bool
	// Hub has kubelet use a koinon-edgehub of the node as its API server. HubArgs are added to it.
	Hub     bool
	HubArgs []string
	// Network is the CNI configuration of pods, a conflist; a bridge if it is empty. SUBNET in it is the range of the node's pods.
	Network string
}

// The programs of a node. The first of them is the machine, and all end with it.
const (
	machineProgram    = "machine"
	containerdProgram = "containerd"
	kubeletProgram    = "kubelet"
	hubProgram        = "koinon-edgehub"
)

//go:embed nodeinit.sh
var nodeInit string

const (
	// bootTimeout is how long a machine may take to be one, nodeTimeout how long each program may
	// take to be of use there.
	bootTimeout = time.Minute
	nodeTimeout = 2 * time.Minute
	// endTimeout is how long the kernel may take to end what a machine runs.
	endTimeout = time.Minute
)

// nodes counts the nodes of this process.
var nodes atomic.Int32

// StartNode adds a real node to a cluster that lives as long as the test, and returns once it is Ready. It
// needs what RequireNodes asks for.
func StartNode(t testing.TB, cluster *Cluster, name string, options NodeOptions) *Node {
	t.Helper()
	RequireNodes(t)
	p, err := newPlace(name)
	if err != nil {
		t.Fatal(err)
	}
	n := &Node{
		place: p, cluster: cluster, client: cluster.Client(t), name: name, number: int(nodes.Add(1)),
		// All addresses: this machine has its own loopback and cables to nodes, and no others.
		server:  startBalancer(t, "0.0.0.0:0", false),
		options: options,
	}
	n.group = os.Getenv(ownMachineVariable) + "/" + filepath.Base(p.dir)
	p.clean(t, name, n.kill)
	api, err := url.Parse(cluster.Server())
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(api.Port())
	if err != nil {
		t.Fatal(err)
	}
	n.server.Add(port)
	if cluster.Network != nil {
		cluster.Network.leadToNode(n.Address())
	}
	if err := n.writeDisk(t.Context()); err != nil {
		t.Fatalf("node %s: %v", name, err)
	}
	n.Start(t)
	return n
}

// Name of the node.
func (n *Node) Name() string { return n.name }

// Address of the node, and Gateway of this machine, at the two ends of the cable.
func (n *Node) Address() string { return fmt.Sprintf("10.77.%d.2", n.number) }
func (n *Node) Gateway() string { return fmt.Sprintf("10.77.%d.1", n.number) }

// Kill9 has every process of the node end at once, containers too, as when a machine loses power. Its
// disk stays.
func (n *Node) Kill9(t testing.TB) {
	t.Helper()
	if err := n.kill(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
}

// Start starts a node that was killed, on the same disk, and waits until it is Ready.
func (n *Node) Start(t testing.TB) {
	t.Helper()
	if err := n.start(t.Context()); err != nil {
		t.Fatalf("node %s: %v", n.name, err)
	}
}

// Cut takes the cable out: neither side hears anything of the other, and what runs on the node goes on.
func (n *Node) Cut(t testing.TB) {
	t.Helper()
	if err := command(t.Context(), "ip", "link", "set", n.cable(), "down"); err != nil {
		t.Fatal(err)
	}
}

// Heal puts the cable in again.
func (n *Node) Heal(t testing.TB) {
	t.Helper()
	if err := command(t.Context(), "ip", "link", "set", n.cable(), "up"); err != nil {
		t.Fatal(err)
	}
}

// StartCut starts a node that was killed, on the same disk, with its cable out. It returns once all programs were started.
func (n *Node) StartCut(t testing.TB) {
	t.Helper()
	if err := n.powerOn(t.Context(), true); err != nil {
		t.Fatalf("node %s: %v", n.name, err)
	}
}

func (n *Node) start(ctx context.Context) error {
	began := time.Now()
	if err := n.powerOn(ctx, false); err != nil {
		return err
	}
	return n.await(ctx, func(ctx context.Context) error { return n.ready(ctx, began) }, containerdProgram, kubeletProgram)
}

// powerOn starts the machine and what runs on it.
func (n *Node) powerOn(ctx context.Context, cut bool) error {
	if err := n.boot(ctx); err != nil {
		return err
	}
	if err := n.plugIn(ctx); err != nil {
		return err
	}
	if cut {
		if err := command(ctx, "ip", "link", "set", n.cable(), "down"); err != nil {
			return err
		}
	}
	if n.options.Hub {
		if err := n.startHub(); err != nil {
			return err
		}
	}
	if err := n.startProgram(containerdProgram, "--config", nodePath(containerdConfig)); err != nil {
		return err
	}
	if err := n.await(ctx, n.importImage, containerdProgram); err != nil {
		return err
	}
	return n.startKubelet()
}

// startKubelet starts kubelet.
func (n *Node) startKubelet() error {
	kubelet, err := Binary(kubeletBinary)
	if err != nil {
		return err
	}
	return n.startProgram(kubelet, "--config", nodePath(kubeletConfig), "--kubeconfig", nodePath(nodeKubeconfig),
		"--hostname-override", n.name, "--node-ip", n.Address())
}

// boot starts the machine.
func (n *Node) boot(ctx context.Context) error {
	booted := filepath.Join(n.disk(), "booted")
	if err := os.Remove(booted); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	script := filepath.Join(n.place.dir, "init.sh")
	if err := os.WriteFile(script, []byte(nodeInit), 0o600); err != nil {
		return err
	}
	err := process.Start(process.Spec{
		Path: "unshare",
		Args: []string{
			"--mount", "--net", "--uts", "--ipc", "--pid", "--kill-child=KILL", "--mount-proc",
			"bash", script, n.name, n.disk(), n.group,
		},
		LogFile: n.logFile(machineProgram), PIDFile: n.pidFile(machineProgram), Tied: true,
	})
	if err != nil {
		return err
	}
	up := func(context.Context) error {
		_, err := os.Stat(booted)
		return err
	}
	return process.Await(ctx, bootTimeout, up, n.program(machineProgram))
}

// plugIn puts the cable between this machine and the node. The node's end is eth0.
func (n *Node) plugIn(ctx context.Context) error {
	first, err := n.firstProcess()
	if err != nil {
		return err
	}
	for _, args := range [][]string{
		{"ip", "link", "add", n.cable(), "type", "veth", "peer", "name", "eth0", "netns", first},
		{"ip", "address", "add", n.Gateway() + "/24", "dev", n.cable()},
		{"ip", "link", "set", n.cable(), "up"},
	} {
		if err := command(ctx, args...); err != nil {
			return err
		}
	}
	for _, args := range [][]string{
		{"ip", "address", "add", n.Address() + "/24", "dev", "eth0"},
		{"ip", "link", "set", "eth0", "up"},
		{"ip", "route", "add", "default", "via", n.Gateway()},
	} {
		if err := n.command(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// startProgram starts a program that belongs to the node.
func (n *Node) startProgram(path string, args ...string) error {
	name := filepath.Base(path)
	return n.run(process.Spec{Path: path, Args: args, LogFile: n.logFile(name), PIDFile: n.pidFile(name), Tied: true})
}

// run starts a program on the node. It ends with the nsenter that is in its pid file, which is its parent.
func (n *Node) run(spec process.Spec) error {
	enter, err := n.enter(slices.Concat([]string{"setpriv", "--pdeathsig", "KILL", spec.Path}, spec.Args)...)
	if err != nil {
		return err
	}
	spec.Path, spec.Args = enter[0], enter[1:]
	return process.Start(spec)
}

// await waits until the node is as a step wants it, while programs of it run.
func (n *Node) await(ctx context.Context, ready func(context.Context) error, names ...string) error {
	var programs []process.Program
	for _, name := range append([]string{machineProgram}, names...) {
		programs = append(programs, n.program(name))
	}
	return process.Await(ctx, nodeTimeout, ready, programs...)
}

// importImage gives containerd the image, once it takes it.
func (n *Node) importImage(ctx context.Context) error {
	return n.command(ctx, "ctr", "--namespace", "k8s.io", "images", "import", nodePath(nodeImageFile))
}

// ready tells whether kubelet, since it was started, has said that it is there, whether it answers the API
// server, if that can be, and whether the node is Ready. Of what it said before, it repeats only what has changed.
func (n *Node) ready(ctx context.Context, began time.Time) error {
	lease, err := n.client.CoordinationV1().Leases(corev1.NamespaceNodeLease).Get(ctx, n.name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if lease.Spec.RenewTime == nil || lease.Spec.RenewTime.Time.Before(began) {
		return errors.New("kubelet has not renewed its Lease")
	}
	node, err := n.client.CoreV1().Nodes().Get(ctx, n.name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady && condition.Status != corev1.ConditionTrue {
			return fmt.Errorf("it is not Ready: %s", condition.Message)
		}
	}
	if n.options.Hidden {
		return nil
	}
	return n.client.CoreV1().RESTClient().Get().Resource("nodes").Name(n.name).SubResource("proxy").Suffix("healthz").Do(ctx).Error()
}

// kill ends all that runs on the node, if it runs, and removes what a machine that loses power does not
// keep: kubelet would look for long at control groups of containers that are no more.
func (n *Node) kill(ctx context.Context) error {
	first, firstErr := n.firstProcess()
	errs := []error{process.Stop(ctx, n.pidFile(machineProgram), 0)}
	if firstErr == nil {
		errs = append(errs, awaitEnd(ctx, first))
	}
	for _, program := range []string{containerdProgram, kubeletProgram, hubProgram} {
		errs = append(errs, process.Stop(ctx, n.pidFile(program), 0))
	}
	// The kernel takes the cable away too, when it comes to it.
	deleteErr := command(ctx, "ip", "link", "delete", n.cable())
	if command(ctx, "ip", "link", "show", n.cable()) == nil {
		errs = append(errs, deleteErr)
	}
	errs = append(errs, removeControlGroups(ctx, n.group))
	return errors.Join(errs...)
}

// awaitEnd waits until a process is no more: all that is in its namespace for processes ends before.
func awaitEnd(ctx context.Context, pid string) error {
	return poll(ctx, endTimeout, func() error {
		if _, err := os.Stat("/proc/" + pid); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("process %s of a node that was killed is still there (%v)", pid, err)
		}
		return nil
	})
}

// removeControlGroups removes a group and all below it, in every hierarchy.
func removeControlGroups(ctx context.Context, group string) error {
	return poll(ctx, endTimeout, func() error {
		var errs []error
		for _, hierarchy := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
			roots, err := filepath.Glob(filepath.Join(hierarchy, group))
			if err != nil {
				return err
			}
			for _, root := range roots {
				errs = append(errs, removeDirectories(root))
			}
		}
		return errors.Join(errs...)
	})
}

// removeDirectories removes a tree whose files cannot be removed, and go with their directories.
func removeDirectories(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeDirectories(filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	return os.Remove(dir)
}

// poll tries until do returns nil, and returns the last error if that takes too long.
func poll(ctx context.Context, limit time.Duration, do func() error) error {
	for deadline := time.Now().Add(limit); ; {
		err := do()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// firstProcess returns the pid of the node's first process: it is the only child of unshare.
func (n *Node) firstProcess() (string, error) {
	pid, running := process.Find(n.pidFile(machineProgram))
	if !running {
		return "", fmt.Errorf("node %s does not run", n.name)
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return "", err
	}
	first := strings.TrimSpace(string(children))
	if first == "" {
		return "", fmt.Errorf("node %s has no first process", n.name)
	}
	return first, nil
}

// enter returns the command line of a program on the node.
func (n *Node) enter(args ...string) ([]string, error) {
	first, err := n.firstProcess()
	if err != nil {
		return nil, err
	}
	return append([]string{"nsenter", "--target", first, "--mount", "--net", "--uts", "--ipc", "--pid", "--wd=/"}, args...), nil
}

// command runs a program on the node.
func (n *Node) command(ctx context.Context, args ...string) error {
	enter, err := n.enter(args...)
	if err != nil {
		return err
	}
	return command(ctx, enter...)
}

// command runs a program on this machine.
func command(ctx context.Context, args ...string) error {
	if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// cable is the name of this machine's end of the cable.
func (n *Node) cable() string { return fmt.Sprintf("node%d", n.number) }

func (n *Node) program(name string) process.Program {
	return process.Program{Name: name, PIDFile: n.pidFile(name), LogFile: n.logFile(name)}
}

func (n *Node) pidFile(program string) string { return filepath.Join(n.place.dir, program+".pid") }
func (n *Node) logFile(program string) string {
	return filepath.Join(n.place.logs(), n.name+"-"+program+".log")
}
