package main

import (
	"context"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/koinon-io/koinon/cmd/koinon-edgehub/app"
	"github.com/koinon-io/koinon/cmd/koinon-playground/pki"
	"github.com/koinon-io/koinon/cmd/koinon-playground/process"
)

// options are those of a hub of a node whose API server is at an address, with an empty disk.
func (w *world) hubOptions(node, server string) (*app.Options, error) {
	w.hubs++
	o := app.NewOptions()
	o.Node, o.StateDir, o.CAFile, o.ServerName, o.Servers = node, filepath.Join(w.dir, fmt.Sprintf("hub-%03d", w.hubs)), w.authority(), "localhost", []string{server}
	o.AddressDir = filepath.Join(o.StateDir, "none")
	// Each has a loopback address of its own: what calls from 127.0.0.1 meanwhile does not take its ports.
	own := fmt.Sprintf("127.7.%d.%d:0", w.hubs/250, 1+w.hubs%250)
	for _, address := range []*string{&o.LocalAddress, &o.PodAddress, &o.StatusAddress} {
		l, err := net.Listen("tcp", own)
		if err != nil {
			return nil, err
		}
		defer l.Close() // together: no address twice
		*address = l.Addr().String()
	}
	pair, err := w.credential(node)
	if err != nil {
		return nil, err
	}
	cert, key, err := pair.Read()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.StateDir, 0o700); err != nil {
		return nil, err
	}
	return o, os.WriteFile(filepath.Join(o.StateDir, "node.pem"), slices.Concat(cert, key), 0o600)
}

// credential is a node's certificate, by the authority of the cluster.
func (w *world) credential(node string) (pki.Pair, error) {
	authority, err := pki.NewAuthority(filepath.Dir(w.authority()), "ca", "cloud-ca")
	if err != nil {
		return pki.Pair{}, err
	}
	return authority.Issue("credential-"+node, pkix.Name{CommonName: "system:node:" + node, Organization: []string{"system:nodes"}}, node)
}

// wayThrough is the way of programs through a hub.
func wayThrough(o *app.Options) (*way, error) {
	text, err := o.Kubeconfig()
	if err != nil {
		return nil, err
	}
	kubelet, err := clientcmd.RESTConfigFromKubeConfig(text)
	if err != nil {
		return nil, err
	}
	return &way{kubelet, &rest.Config{Host: "https://" + o.PodAddress, TLSClientConfig: rest.TLSClientConfig{CAData: kubelet.CAData}}}, nil
}

// wayDirect is the way of programs of a node without a hub, to an API server.
func (w *world) wayDirect(node, server string) (*way, error) {
	pair, err := w.credential(node)
	if err != nil {
		return nil, err
	}
	tls := rest.TLSClientConfig{CAFile: w.authority(), ServerName: "localhost"}
	pods := &rest.Config{Host: server, TLSClientConfig: tls}
	tls.CertFile, tls.KeyFile = pair.Cert, pair.Key
	return &way{&rest.Config{Host: server, TLSClientConfig: tls}, pods}, nil
}

// hub is a koinon-edgehub in a process of its own.
type hub struct {
	*world
	options *app.Options
	name    string
	profile string // where a heap profile goes; empty if it has none
}

// newHub is one that does not run, with an empty disk.
func (w *world) newHub(node, server string) (*hub, error) {
	o, err := w.hubOptions(node, server)
	if err != nil {
		return nil, err
	}
	h := &hub{world: w, options: o, name: filepath.Base(o.StateDir)}
	if w.profiles != "" {
		h.profile = filepath.Join(w.profiles, h.name+".pprof")
	}
	w.closers = append(w.closers, func() { h.kill(context.Background()) })
	return h, nil
}

// start starts it on what it has on its disk, and waits until it serves.
func (h *hub) start(ctx context.Context) error {
	spec := process.Spec{
		Path: h.binary("koinon-edgehub"), LogFile: filepath.Join(h.dir, h.name+".log"), PIDFile: h.pidFile(), Tied: true,
		Args: []string{
			"run", "--node", h.options.Node, "--server", h.options.Servers[0], "--server-name", h.options.ServerName, "--ca-file", h.options.CAFile, "--state-dir", h.options.StateDir,
			"--local-address", h.options.LocalAddress, "--pod-address", h.options.PodAddress, "--status-address", h.options.StatusAddress, "--address-dir", h.options.AddressDir,
		},
	}
	if h.profile != "" {
		if err := h.asRole(&spec); err != nil {
			return err
		}
	}
	if err := process.Start(spec); err != nil {
		return err
	}
	return process.Await(ctx, patience, func(ctx context.Context) error {
		_, err := h.metrics(ctx)
		return err
	}, process.Program{Name: "koinon-edgehub", PIDFile: spec.PIDFile, LogFile: spec.LogFile})
}

// asRole has it be a part of this program, which writes profiles.
func (h *hub) asRole(spec *process.Spec) (err error) {
	file := h.options.StateDir + ".json"
	text, err := json.Marshal(role{Hubs: []*app.Options{h.options}, Profile: h.profile})
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		return err
	}
	spec.Args, spec.Env = nil, []string{roleVariable + "=" + file}
	spec.Path, err = os.Executable()
	return err
}

// writeProfile has it write its heap profile, and waits for that.
func (h *hub) writeProfile(ctx context.Context) error {
	if h.profile == "" {
		return nil
	}
	_ = os.Remove(h.profile)
	if err := process.Signal(h.pidFile(), syscall.SIGUSR1); err != nil {
		return err
	}
	return eventually(ctx, "the hub has written its profile", func(context.Context) error {
		_, err := os.Stat(h.profile)
		return err
	})
}

func (h *hub) pidFile() string { return filepath.Join(h.dir, h.name+".pid") }

func (h *hub) pid() int {
	pid, _ := process.Find(h.pidFile())
	return pid
}

// kill ends it as a power cut does, but for what the kernel still writes.
func (h *hub) kill(ctx context.Context) { _ = process.Stop(ctx, h.pidFile(), 0) }

// end has it end by itself.
func (h *hub) end(ctx context.Context) error { return process.Stop(ctx, h.pidFile(), patience) }

// metrics are those of the hub, by name.
func (h *hub) metrics(ctx context.Context) (map[string]float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+h.options.StatusAddress+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return metricsIn(string(text)), err
}

// metricsIn are those of a text in Prometheus' format; those with labels are added up.
func metricsIn(text string) map[string]float64 {
	all := map[string]float64{}
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if i := strings.LastIndexByte(line, '}'); i > 0 {
			name, value, ok = line[:strings.IndexByte(line, '{')], strings.TrimSpace(line[i+1:]), true
		}
		if n, err := strconv.ParseFloat(value, 64); ok && err == nil && !strings.HasPrefix(line, "#") {
			all[name] += n
		}
	}
	return all
}

// follows waits until a hub has all lists of a number, and hears of changes of each.
func (h *hub) follows(ctx context.Context, atLeast int) error {
	return eventually(ctx, "the hub follows", func(ctx context.Context) error {
		m, err := h.metrics(ctx)
		if err != nil {
			return err
		}
		if views, connected := m["koinon_edgehub_views"], m["koinon_edgehub_views_connected"]; int(views) < atLeast || connected != views {
			return fmt.Errorf("of %d lists it has %g, and hears of %g", atLeast, views, connected)
		}
		return nil
	})
}

// footprint is what a process uses.
type footprint struct {
	resident, anonymous, peak, heap, disk, written, cpu float64
}

// footprintNow is what the hub uses now.
func (h *hub) footprintNow(ctx context.Context) (f footprint, err error) {
	pid := h.pid()
	m, err := h.metrics(ctx)
	if err != nil {
		return f, err
	}
	rss, _ := process.Memory(pid)
	f = footprint{resident: float64(rss), anonymous: procValue(pid, "status", "RssAnon:") * kibi, peak: procValue(pid, "status", "VmHWM:") * kibi, written: procValue(pid, "io", "write_bytes:"), cpu: process.ProcessorTime(pid)}
	f.heap, f.disk = m["koinon_edgehub_heap_bytes"], m["koinon_edgehub_disk_bytes"]
	return f, nil
}

// procValue is a number that Linux has of a process, or of "self"; 0 if it has none.
func procValue(pid any, file, key string) (value float64) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%v/%s", pid, file))
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			_, _ = fmt.Sscan(rest, &value)
		}
	}
	return value
}

// settle waits until its resident set stays about the same: Go gives memory back bit by bit.
func (h *hub) settle(ctx context.Context) error {
	const checks, within = 4, 25
	last, same := 0.0, 0
	for range h.number(within, 3) {
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
		rss, _ := process.Memory(h.pid())
		now := float64(rss)
		if same++; now < 0.99*last || now > 1.01*last {
			last, same = now, 0
		}
		if same == checks {
			return nil
		}
	}
	return nil
}
