package memberclient

import (
	"bufio"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const (
	idleServer = "KOINON_TEST_IDLE_MEMBER" // makes a process of this test the member
	idleTypes  = 10
)

// BenchmarkIdleMember has connections to members that do nothing, with ten watched types and a
// check of health every ten seconds each, and reports what one costs. The members are a
// process of their own.
//
//	go test -run - -bench IdleMember -benchtime 200x ./pkg/federation/memberclient
func BenchmarkIdleMember(b *testing.B) {
	url, authority := startIdleServer(b)
	before := cost()
	conns := make([]*Conn, b.N)
	for i := range conns {
		ofItsOwn := fmt.Sprintf("%s\n%d\n", authority, i) // else they would share one connection
		cluster, secret := joined(url, []byte(ofItsOwn))
		config, err := Config(cluster, secret, time.Now())
		if err != nil {
			b.Fatal(err)
		}
		synced := make(chan struct{}, 2*idleTypes)
		conns[i], err = NewConn(b.Context(), config, func(schema.GroupVersionResource, Event) { synced <- struct{}{} })
		if err != nil {
			b.Fatal(err)
		}
		defer conns[i].Close()
		for n := range idleTypes {
			conns[i].Watch(idleType(n), Keep{Status: n%3 == 0})
		}
		for range idleTypes {
			<-synced
		}
	}
	checkHealth := func() {
		for _, conn := range conns {
			if healthy, _, err := conn.Health(b.Context()); err != nil || !healthy {
				b.Fatal(healthy, err)
			}
		}
	}
	checkHealth()
	filled := cost()
	const rounds, period = 4, 10 * time.Second
	for range rounds {
		time.Sleep(period)
		checkHealth()
	}
	idle := cost()
	members := float64(b.N)
	b.ReportMetric(float64(filled.heapBytes-before.heapBytes)/members/1024, "KiB-heap/member")
	b.ReportMetric(float64(filled.stackBytes-before.stackBytes)/members/1024, "KiB-stack/member")
	b.ReportMetric(float64(filled.residentBytes-before.residentBytes)/members/1024, "KiB-rss/member")
	b.ReportMetric(float64(filled.goroutines-before.goroutines)/members, "goroutines/member")
	b.ReportMetric((idle.cpu-filled.cpuAfter).Seconds()*1000/members/(rounds*period.Seconds()), "cpu-ms/s/member")
}

type costs struct {
	heapBytes, stackBytes, residentBytes int64
	goroutines                           int
	cpu, cpuAfter                        time.Duration // before and after it was found out
}

func cost() costs {
	c := costs{goroutines: runtime.NumGoroutine(), cpu: processorTime()}
	runtime.GC()
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	c.heapBytes, c.stackBytes = int64(memory.HeapAlloc), int64(memory.StackInuse)
	statm, _ := os.ReadFile("/proc/self/statm")
	var pages int64
	_, _ = fmt.Sscan(string(statm), new(int64), &pages)
	c.residentBytes = pages * int64(os.Getpagesize())
	c.cpuAfter = processorTime()
	return c
}

func processorTime() time.Duration {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func idleType(n int) Type {
	name := fmt.Sprintf("things%d", n)
	return Type{Resource: schema.GroupVersionResource{Version: "v1", Resource: name}, Kind: "Thing", Namespaced: true}
}

// startIdleServer starts the member and returns where it is and its authority.
func startIdleServer(b *testing.B) (url, authority string) {
	command := exec.CommandContext(b.Context(), os.Args[0], "-test.run=^TestServeIdleMember$")
	command.Env = append(os.Environ(), idleServer+"=1")
	output, err := command.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := command.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = command.Process.Kill(); _ = command.Wait() })
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		switch line := lines.Text(); {
		case strings.HasPrefix(line, "https://"):
			url = line
		default:
			authority += line + "\n"
		}
		if strings.HasPrefix(lines.Text(), "-----END") {
			return url, authority
		}
	}
	b.Fatal("the member did not start")
	return "", ""
}

// TestServeIdleMember is the member of BenchmarkIdleMember, in its own process.
func TestServeIdleMember(t *testing.T) {
	if os.Getenv(idleServer) == "" {
		t.Skip("not a test: see BenchmarkIdleMember")
	}
	resources := metav1.APIResourceList{GroupVersion: "v1"}
	for n := range idleTypes {
		resources.APIResources = append(resources.APIResources, metav1.APIResource{Name: idleType(n).Resource.Resource, Kind: "Thing", Namespaced: true})
	}
	member := &fakeMember{discovery: say(resources), watch: watchBookmarks, object: say(`{"metadata":{"resourceVersion":"10"},"items":[]}`)}
	server := httptest.NewUnstartedServer(member)
	server.EnableHTTP2 = true
	server.StartTLS()
	fmt.Println(server.URL)
	_ = pem.Encode(os.Stdout, &pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	select {} // until it is killed
}

// watchBookmarks says once a minute how far it is, as kube-apiserver does.
func watchBookmarks(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	for {
		w.(http.Flusher).Flush()
		select {
		case <-r.Context().Done():
			return
		case <-time.After(time.Minute):
			_, _ = fmt.Fprintln(w, `{"type":"BOOKMARK","object":{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"11"}}}`)
		}
	}
}
