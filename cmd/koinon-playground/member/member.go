// Package member runs one real Kubernetes cluster on this machine: etcd, kube-apiserver,
// kube-controller-manager with the controllers that workloads need, and simulated nodes,
// each a process of its own.
//
// A Cluster lives in one directory. Start is idempotent: it starts what does not run, and
// returns once the cluster is of use; so it also repairs a cluster of which some process
// was killed. Kill ends the processes and keeps the data, Remove takes the directory
// away.
//
// There is no kube-scheduler: the node simulator binds pods itself, which saves a process
// (about 120 MiB resident, 27 MiB of its own) and its start. There is no kube-proxy
// either: nobody answers on a Service's cluster IP. Nothing here ever calls one.
//
// A Cluster is not safe for concurrent use; different Clusters are.
package member

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/koinon-io/koinon/cmd/koinon-playground/ports"
	"github.com/koinon-io/koinon/cmd/koinon-playground/process"
)

// The programs of a cluster, in the order in which they are started.
const (
	Etcd              = "etcd"
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Nodes             = "nodes"
)

// Programs lists them all.
var Programs = []string{Etcd, APIServer, ControllerManager, Nodes}

// Config says what cluster to run.
type Config struct {
	// Name of the cluster: a DNS label. It is in the names of nodes, contexts and logs.
	Name string
	// Dir holds all the state of the cluster, and nothing else.
	Dir string
	// LogDir holds the log of each program, NAME-PROGRAM.log.
	LogDir string
	// Binary is the koinon-playground executable, which every program is a part of.
	Binary string
	// Kubernetes is another executable of which kube-apiserver and kube-controller-manager are
	// parts, in another version; empty for those of Binary.
	Kubernetes string
	// Nodes is how many simulated nodes there are; with none, pods stay Pending.
	Nodes int
	// EtcdArgs, APIServerArgs and ControllerManagerArgs are added to the command lines,
	// where a later flag overrides an earlier one.
	EtcdArgs              []string
	APIServerArgs         []string
	ControllerManagerArgs []string
	// Tied clusters end with the process that started them.
	Tied bool
	// Report is told of every step that Start took. May be nil.
	Report func(step string, took time.Duration)
}

// Cluster is one cluster.
type Cluster struct {
	Config
	state state
}

// state is what must be the same when a cluster is started again.
type state struct {
	Ports portSet `json:"ports"`
}

// portSet is the ports of one cluster, on 127.0.0.1.
type portSet struct {
	API               int `json:"api"`
	Etcd              int `json:"etcd"`
	EtcdPeer          int `json:"etcdPeer"`
	ControllerManager int `json:"controllerManager"`
	Kubelet           int `json:"kubelet"`
}

// New checks the configuration, and reads what an earlier run has left in the directory.
// It starts nothing.
func New(cfg Config) (*Cluster, error) {
	if problems := validation.IsDNS1123Label(cfg.Name); len(problems) > 0 {
		return nil, fmt.Errorf("cluster name %q: %s", cfg.Name, strings.Join(problems, "; "))
	}
	if cfg.Nodes < 0 || cfg.Nodes > maxNodes {
		return nil, fmt.Errorf("cluster %s: %d nodes, must be 0 to %d", cfg.Name, cfg.Nodes, maxNodes)
	}
	var err error
	if cfg.Dir, err = filepath.Abs(cfg.Dir); err != nil {
		return nil, fmt.Errorf("directory of cluster %s: %w", cfg.Name, err)
	}
	if cfg.LogDir, err = filepath.Abs(cfg.LogDir); err != nil {
		return nil, fmt.Errorf("log directory of cluster %s: %w", cfg.Name, err)
	}
	if cfg.Report == nil {
		cfg.Report = func(string, time.Duration) {}
	}
	c := &Cluster{Config: cfg}
	data, err := os.ReadFile(c.path("cluster.json"))
	if errors.Is(err, os.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the state of cluster %s: %w", cfg.Name, err)
	}
	if err := json.Unmarshal(data, &c.state); err != nil {
		return nil, fmt.Errorf("read the state of cluster %s in %s: %w", cfg.Name, c.path("cluster.json"), err)
	}
	return c, nil
}

// maxNodes is how many nodes the pod network has room for: a /24 each of a /16.
const maxNodes = 250

// startAttempts is how often a new cluster is given new ports because another program
// took one of the first between the pick and the listen.
const startAttempts = 3

// Start starts what does not run, and returns once the API server answers, the default
// service account is there and all nodes are Ready.
func (c *Cluster) Start(ctx context.Context) error {
	for attempt := 1; ; attempt++ {
		fresh := c.state.Ports.API == 0
		err := c.start(ctx)
		var failed *process.StartError
		if err == nil || !fresh || attempt == startAttempts || !errors.As(err, &failed) || !failed.PortTaken() {
			return err
		}
		if err := errors.Join(c.Kill(ctx), c.Remove()); err != nil {
			return err
		}
		c.state = state{}
	}
}

func (c *Cluster) start(ctx context.Context) error {
	if err := c.step("certificates", func() error { return c.prepare() }); err != nil {
		return err
	}
	err := c.step("API server ready", func() error {
		if err := c.run(Etcd, APIServer); err != nil {
			return err
		}
		return c.await(ctx, c.apiReady, Etcd, APIServer)
	})
	if err != nil {
		return err
	}
	return c.step("controllers and nodes ready", func() error {
		if err := c.run(ControllerManager, Nodes); err != nil {
			return err
		}
		return c.await(ctx, c.workloadsReady, Programs...)
	})
}

// step runs one step and reports its time if it succeeds.
func (c *Cluster) step(name string, do func() error) error {
	began := time.Now()
	if err := do(); err != nil {
		return fmt.Errorf("cluster %s: %w", c.Name, err)
	}
	c.Report(name, time.Since(began))
	return nil
}

// prepare makes the directories, ports, certificates and kubeconfigs that are missing.
func (c *Cluster) prepare() error {
	for _, dir := range []string{c.path("pki"), c.LogDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make directory: %w", err)
		}
	}
	if c.state.Ports.API == 0 {
		picked, err := ports.Pick(5)
		if err != nil {
			return err
		}
		c.state.Ports = portSet{API: picked[0], Etcd: picked[1], EtcdPeer: picked[2], ControllerManager: picked[3], Kubelet: picked[4]}
		data, err := json.Marshal(c.state)
		if err != nil {
			return err
		}
		if err := os.WriteFile(c.path("cluster.json"), data, 0o600); err != nil {
			return fmt.Errorf("write the state: %w", err)
		}
	}
	return c.writeCredentials()
}

// run starts those of the programs that do not run.
func (c *Cluster) run(programs ...string) error {
	for _, program := range programs {
		if _, running := process.Find(c.pidFile(program)); running || (program == Nodes && c.Nodes == 0) {
			continue
		}
		err := process.Start(process.Spec{
			Path:    c.binary(program),
			Args:    append([]string{program}, c.args(program)...),
			LogFile: c.LogFile(program),
			PIDFile: c.pidFile(program),
			Tied:    c.Tied,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) binary(program string) string {
	if c.Kubernetes != "" && (program == APIServer || program == ControllerManager) {
		return c.Kubernetes
	}
	return c.Binary
}

// Kill kills the named programs, or all of them, and keeps the data. Data survives: etcd
// writes before it answers, only a power cut could lose what it wrote.
func (c *Cluster) Kill(ctx context.Context, programs ...string) error {
	if len(programs) == 0 {
		programs = Programs
	}
	var errs []error
	for _, program := range programs {
		errs = append(errs, process.Stop(ctx, c.pidFile(program), 0))
	}
	return errors.Join(errs...)
}

// Freeze stops the API server from running until Thaw: connections stay open, nothing
// answers.
func (c *Cluster) Freeze() error { return process.Signal(c.pidFile(APIServer), syscall.SIGSTOP) }

// Thaw undoes Freeze.
func (c *Cluster) Thaw() error { return process.Signal(c.pidFile(APIServer), syscall.SIGCONT) }

// Remove removes the directory of a cluster that does not run. Logs stay.
func (c *Cluster) Remove() error {
	for _, program := range Programs {
		if pid, running := process.Find(c.pidFile(program)); running {
			return fmt.Errorf("cluster %s: %s (process %d) still runs", c.Name, program, pid)
		}
	}
	if err := os.RemoveAll(c.Dir); err != nil {
		return fmt.Errorf("remove cluster %s: %w", c.Name, err)
	}
	return nil
}

// Running tells whether a program runs, and its pid.
func (c *Cluster) Running(program string) (pid int, running bool) {
	return process.Find(c.pidFile(program))
}

// Server is the URL of the API server; its port is 0 before the first Start.
func (c *Cluster) Server() string { return "https://127.0.0.1:" + strconv.Itoa(c.state.Ports.API) }

// Ports returns the ports that a program listens on.
func (c *Cluster) Ports(program string) []int {
	switch p := c.state.Ports; program {
	case Etcd:
		return []int{p.Etcd, p.EtcdPeer}
	case APIServer:
		return []int{p.API}
	case ControllerManager:
		return []int{p.ControllerManager}
	case Nodes:
		return []int{p.Kubelet}
	default:
		return nil
	}
}

// Kubeconfig is the path of the administrator's kubeconfig.
func (c *Cluster) Kubeconfig() string { return c.path("kubeconfig") }

// RESTConfig is the administrator's access, without a limit on requests.
func (c *Cluster) RESTConfig() (*rest.Config, error) {
	cfg, err := clientcmd.BuildConfigFromFlags("", c.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("load the kubeconfig of cluster %s: %w", c.Name, err)
	}
	cfg.QPS = -1
	return cfg, nil
}

// LogFile is the path of a program's log.
func (c *Cluster) LogFile(program string) string {
	return filepath.Join(c.LogDir, c.Name+"-"+program+".log")
}

func (c *Cluster) path(elem ...string) string {
	return filepath.Join(append([]string{c.Dir}, elem...)...)
}

func (c *Cluster) pidFile(program string) string { return c.path(program + ".pid") }
