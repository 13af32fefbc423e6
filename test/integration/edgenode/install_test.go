package edgenode_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/koinon-io/koinon/test/testbed"
)

// services is systemd on the node, as far as the installer uses it: a systemctl there asks, and is answered here.
type services struct {
	s *site
	// units is the directory of them on this machine.
	units string
	asked []string
}

// systemctl is what asks.
const systemctl = `#!/bin/sh
echo "$*" >/var/ask
{
	read -r status
	while read -r line; do echo "$line" >&"$((status == 0 ? 1 : 2))"; done
} </var/answer
exit "$status"
`

func (s *site) newServices() *services {
	s.Helper()
	v := &services{s: s, units: s.disk("units")}
	for _, name := range []string{"ask", "answer"} {
		if err := syscall.Mkfifo(s.disk(name), 0o600); err != nil {
			s.Fatal(err)
		}
	}
	if err := errors.Join(os.MkdirAll(s.disk("bin"), 0o755), os.MkdirAll(v.units, 0o755), os.WriteFile(s.disk("bin", "systemctl"), []byte(systemctl), 0o755)); err != nil {
		s.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { // ends when it is asked to quit
		defer close(ended)
		for {
			text, err := os.ReadFile(s.disk("ask"))
			if err != nil || string(text) == "quit" {
				return
			}
			out, err := v.do(strings.Fields(string(text)))
			answer := "0\n" + out
			if err != nil {
				answer = "1\n" + err.Error() + "\n"
			}
			if os.WriteFile(s.disk("answer"), []byte(answer), 0) != nil {
				return
			}
		}
	}()
	s.Cleanup(func() {
		if err := os.WriteFile(s.disk("ask"), []byte("quit"), 0); err != nil {
			s.Error(err)
		}
		<-ended
	})
	return v
}

// disk is a file of the node's /var.
func (s *site) disk(parts ...string) string {
	return filepath.Join(append([]string{s.node.Disk()}, parts...)...)
}

func (v *services) do(args []string) (string, error) {
	v.asked = append(v.asked, strings.Join(args, " "))
	node, hub := v.s.node, args[len(args)-1] == "koinon-edgehub.service"
	switch what := args[0]; {
	case what == "daemon-reload" || what == "enable":
		return "", nil
	case what == "show":
		pid, err := node.Run(context.Background(), "pgrep", "-x", "kubelet")
		return "LoadState=loaded\nMainPID=" + pid, err
	case what == "disable" && hub:
		node.KillHub(v.s)
		return "", nil
	case (what == "start" || what == "restart") && hub:
		node.KillHub(v.s)
		return "", v.startHub()
	case what == "restart":
		node.KillKubelet(v.s)
		node.StartKubelet(v.s)
		return "", nil
	}
	return "", fmt.Errorf("there is no systemctl %v here", args)
}

// startHub starts the hub as its service says.
func (v *services) startHub() error {
	text, err := os.ReadFile(filepath.Join(v.units, "koinon-edgehub.service"))
	if err != nil {
		return err
	}
	_, command, _ := strings.Cut(strings.ReplaceAll(string(text), "\\\n", ""), "ExecStart=")
	command, _, _ = strings.Cut(command, "\n")
	words := strings.Fields(command)
	return v.s.node.StartService(words[0], words[1:]...)
}

// edgehub runs koinon-edgehub on the node.
func (s *site) edgehub(args ...string) (string, error) {
	s.Helper()
	hub, err := testbed.Binary("koinon-edgehub")
	if err != nil {
		s.Fatal(err)
	}
	if out, err := s.node.Run(s.Context(), "mkdir", "-p", "/run/systemd/system"); err != nil { // which systemd makes when it is started
		s.Fatal(err, out)
	}
	out, err := s.node.Run(s.Context(), append([]string{"env", "PATH=/var/bin:" + os.Getenv("PATH"), hub}, args...)...)
	s.Logf("koinon-edgehub %v: %v\n%s", args, err, out)
	return out, err
}

// A node gets a hub, lives without the cloud by it, and loses it again. Containers go on meanwhile, and kubelet's own files are what they were.
func TestRealNodeGetsAHubAndLosesItAgain(t *testing.T) {
	testbed.RequireNodes(t)
	cluster := testbed.StartCluster(t, testbed.ClusterOptions{Name: "cloud"})
	s := &site{T: t, cluster: cluster, client: cluster.Client(t), kubeconfig: cluster.Kubeconfig()}
	s.node = testbed.StartNode(t, cluster, "edge-1", testbed.NodeOptions{})
	services := s.newServices()
	if err := os.MkdirAll(s.out(), 0o777); err != nil {
		t.Fatal(err)
	}
	// Of the pods of the other test, those that do not ask the API server: without the hub its Service has no address here.
	few, _, _ := strings.Cut(pods, "---\napiVersion: v1\nkind: ServiceAccount\n")
	testbed.KubectlStdin(t, s.kubeconfig, strings.NewReplacer("&template", "", "NODE", s.node.Name(), "IMAGE", testbed.NodeImage).Replace(few), "apply", "-f", "-")
	for _, what := range []string{"deployment/web", "statefulset/db", "daemonset/agent"} {
		testbed.Kubectl(t, s.kubeconfig, "rollout", "status", what, "--timeout=120s")
	}
	before, running, uids := s.said(), s.tasks(), s.uids()
	kubeconfig, config := s.kubeletsFiles()
	t.Logf("before: %v, %v", before, uids)

	where := []string{"--bin-dir=/var/bin", "--unit-dir=/var/units"}
	if out, err := s.edgehub(append([]string{"install", "--server=https://10.77.77.77:1", "--timeout=10s"}, where...)...); err == nil || !strings.Contains(out, "everything is as it was before") {
		t.Fatalf("with an API server that is not there: got %v", err)
	}
	if k, c := s.kubeletsFiles(); k != kubeconfig || c != config {
		t.Errorf("after an install that failed kubelet has other files")
	}
	if _, err := s.edgehub(append([]string{"install"}, where...)...); err != nil {
		t.Fatalf("%v; systemctl was asked %q", err, services.asked)
	}
	s.isReady()
	if now := s.tasks(); now != running {
		t.Errorf("there ran\n%s\nand after the install\n%s", running, now)
	}

	s.node.Kill9(t)
	s.forget()
	s.node.StartCut(t)
	if err := services.startHub(); err != nil {
		t.Fatal(err)
	}
	s.sameUIDs("all pods are back without the cloud", before)
	s.node.Heal(t)
	s.isReady()

	running = s.tasks()
	if _, err := s.edgehub(append([]string{"uninstall", "--purge"}, where...)...); err != nil {
		t.Fatal(err)
	}
	if k, c := s.kubeletsFiles(); k != kubeconfig || c != config {
		t.Errorf("kubelet has other files than before the hub")
	}
	for _, gone := range []string{s.disk("bin", "koinon-edgehub"), s.disk("units", "koinon-edgehub.service"), s.disk("units", "kubelet.service.d"), s.disk("lib", "koinon-edgehub")} {
		if _, err := os.Stat(gone); err == nil {
			t.Errorf("%s is there", gone)
		}
	}
	s.isReady()
	if now := s.tasks(); now != running {
		t.Errorf("there ran\n%s\nand after it was uninstalled\n%s", running, now)
	}
	s.node.Kill9(t)
	s.forget()
	s.node.Start(t)
	s.sameUIDs("all pods are back without the hub", before)
	now := s.uids()
	for name, uid := range uids {
		if now[name] != uid {
			t.Errorf("%s was %s, and is %s", name, uid, now[name])
		}
	}
}

// sameUIDs waits until pods say their UIDs, as they did before. Addresses are others here after a power cut.
func (s *site) sameUIDs(what string, before map[string]string) {
	s.Helper()
	testbed.Eventually(s, what, func(context.Context) error {
		now := s.said()
		for name, said := range before {
			uid, _, _ := strings.Cut(said, " ")
			if !strings.HasPrefix(now[name], uid) {
				return fmt.Errorf("%s says %q, and said %q", name, now[name], said)
			}
		}
		return nil
	})
}

// kubeletsFiles are what is in them.
func (s *site) kubeletsFiles() (kubeconfig, config string) {
	s.Helper()
	var texts []string
	one, other := s.node.KubeletFiles()
	for _, path := range []string{one, other} {
		text, err := os.ReadFile(s.disk(strings.TrimPrefix(path, "/var/")))
		if err != nil {
			s.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	return texts[0], texts[1]
}
