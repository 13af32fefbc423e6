package podstate

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// podWith is one of namespace ns, as an API server has it.
func podWith(name, uid string, ips ...string) string {
	all := []map[string]string{}
	for _, ip := range ips {
		all = append(all, map[string]string{"ip": ip})
	}
	list, _ := json.Marshal(all)
	return fmt.Sprintf(`{"metadata":{"name":%q,"namespace":"ns","uid":%q,"resourceVersion":"7"},"status":{"phase":"Running","podIPs":%s,"conditions":[{"type":"Ready","status":"True"}],"later":{"a":1}}}`, name, uid, list)
}

// kubelet is what it changes when a pod has other addresses: as package strategicpatch makes it.
func kubelet(uid string, before, after []string) string {
	var list, order []string
	for _, ip := range after {
		order = append(order, fmt.Sprintf(`{"ip":%q}`, ip))
		if !slices.Contains(before, ip) {
			list = append(list, fmt.Sprintf(`{"ip":%q}`, ip))
		}
	}
	for _, ip := range before {
		if !slices.Contains(after, ip) {
			list = append(list, fmt.Sprintf(`{"$patch":"delete","ip":%q}`, ip))
		}
	}
	return fmt.Sprintf(`{"metadata":{"uid":%q},"status":{"$setElementOrder/podIPs":[%s],"podIP":%q,"podIPs":[%s]}}`, uid, strings.Join(order, ","), slices.Concat(after, []string{""})[0], strings.Join(list, ","))
}

// slice is an EndpointSlice of Kubernetes' controller with an endpoint of a pod.
func slice(uid string, addresses ...string) string {
	list, _ := json.Marshal(addresses)
	return fmt.Sprintf(`{"kind":"EndpointSlice", "metadata":{"name":"s","namespace":"ns","labels":{"endpointslice.kubernetes.io/managed-by":"endpointslice-controller.k8s.io"}},"endpoints":[{"addresses":["10.1.0.99"],"targetRef":{"kind":"Pod","uid":"other"}}, {"addresses" : %s,"nodeName":"n","targetRef":{"kind":"Pod","uid":%q},"later":[1.50]}],"ports":[]}`, list, uid)
}

func TestEndpointsHaveTheAddressesThatTheirPodsHave(t *testing.T) {
	b := New("n")
	say := func(known, after []string, moved bool) {
		t.Helper()
		of, did, err := b.Said([]byte(podWith("a", "u1", known...)), []byte(kubelet("u1", known, after)), time.Now())
		if err != nil || of != (Pod{"ns", "a", "u1"}) || did != moved {
			t.Errorf("kubelet says that it has %v, and not %v: %v, moved %v, %v", after, known, of, did, err)
		}
	}
	is := func(was, want string) {
		t.Helper()
		if diff := cmp.Diff(want, string(b.Correct([]byte(was), func() bool { return false }))); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	unchanged := func(s string) { t.Helper(); is(s, s) }

	say(nil, []string{"10.1.0.5"}, false) // it starts
	unchanged(slice("u1", "10.1.0.5"))
	say([]string{"10.1.0.5"}, nil, false) // it is started anew, and has none
	unchanged(slice("u1", "10.1.0.5"))
	say([]string{"10.1.0.5"}, []string{"10.1.0.8", "fd00::8"}, true)
	say([]string{"10.1.0.5"}, []string{"10.1.0.8", "fd00::8"}, false)
	is(slice("u1", "10.1.0.5"), slice("u1", "10.1.0.8"))
	unchanged(slice("u1", "192.168.7.7")) // of another network of the pod
	unchanged(slice("u2", "10.1.0.5"))    // of another pod, which has the address now

	say([]string{"10.1.0.8", "fd00::8"}, []string{"10.1.0.8", "fd00::8"}, false) // the cloud is back, and its EndpointSlices come later
	is(slice("u1", "10.1.0.5"), slice("u1", "10.1.0.8"))
	say([]string{"10.1.0.8", "fd00::8"}, []string{"10.1.0.9"}, true)
	is(slice("u1", "10.1.0.5"), slice("u1", "10.1.0.9"))
	is(slice("u1", "10.1.0.8"), slice("u1", "10.1.0.9"))
	is(slice("u1", "10.1.0.5", "10.1.0.8"), slice("u1", "10.1.0.9"))
	unchanged(slice("u1", "fd00::8")) // it has none of that kind

	say([]string{"10.1.0.9"}, []string{"10.1.0.5"}, true) // the address of before, again
	unchanged(slice("u1", "10.1.0.5"))
	is(slice("u1", "10.1.0.8"), slice("u1", "10.1.0.5"))

	b.Keep(func(p Pod) bool { return p != Pod{"ns", "a", "u1"} })
	unchanged(slice("u1", "10.1.0.8"))
}

// readiness is what kubelet changes when a pod becomes ready, or is not any more.
func readiness(status string) string {
	return `{"metadata":{"uid":"u1"},"status":{"$setElementOrder/conditions":[{"type":"Ready"}],"conditions":[{"type":"Ready","status":"` + status + `"}]}}`
}

// endpoint is a slice with one endpoint that is so.
func sliceThat(ready, serving, terminating bool) string {
	conditions := fmt.Sprintf(`{"ready":%t,"serving":%t,"terminating":%t}`, ready, serving, terminating)
	return strings.Replace(slice("u1", "10.1.0.5"), `"nodeName"`, `"conditions" : `+conditions+`,"nodeName"`, 1)
}

func TestEndpointsAreReadyAsTheirPodsAre(t *testing.T) {
	var b *Book
	is := func(what, was, want string, publishes bool) {
		t.Helper()
		if diff := cmp.Diff(want, string(b.Correct([]byte(was), func() bool { return publishes }))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	b = New("n")
	known := []byte(podWith("a", "u1", "10.1.0.5"))
	if _, differs, err := b.Said(known, []byte(readiness("False")), time.Now()); err != nil || !differs {
		t.Fatalf("%t, %v", differs, err)
	}
	is("not ready any more", sliceThat(true, true, false), sliceThat(false, false, false), false)
	is("of a Service that is about it all the same", sliceThat(true, true, false), sliceThat(true, true, false), true)
	is("on its way out", sliceThat(false, true, true), sliceThat(false, true, true), false)
	is("known already", sliceThat(false, false, false), sliceThat(false, false, false), false)
	for _, other := range []string{`"endpointslicemirroring-controller.k8s.io"`, `"mine"`, `null`} {
		meant := strings.Replace(sliceThat(true, true, false), `"endpointslice-controller.k8s.io"`, other, 1)
		is("of another controller, "+other, meant, meant, false)
	}
	if _, differs, err := b.Said(known, []byte(readiness("False")), time.Now()); err != nil || differs {
		t.Errorf("said again: %t, %v", differs, err)
	}
	if _, differs, err := b.Said(known, []byte(`{"metadata":{"uid":"u1"},"status":{"phase":"Running"}}`), time.Now()); err != nil || !differs {
		t.Fatalf("ready again, as the API server knows it to be: %t, %v", differs, err)
	}
	is("ready again", sliceThat(false, false, false), sliceThat(true, true, false), false)
	is("of a Service that is about those that are not, too", sliceThat(true, false, false), sliceThat(true, true, false), true)
	is("without conditions", slice("u1", "10.1.0.5"), slice("u1", "10.1.0.5"), false)
}

// Each pod becomes ready once: while the API server is there its controllers say soon what that is to be.
func TestWhatEndpointSlicesSayOfReadinessCountsOnceTheirWritersKnow(t *testing.T) {
	b, began := New("n"), time.Now()
	taken := func(address, status string, at time.Duration) {
		t.Helper()
		known := podWith("a", "u1", "10.1.0.5")
		has := strings.Replace(podWith("a", "u1", address), `"True"`, `"`+status+`"`, 1)
		if _, differs, err := b.Taken([]byte(has), []byte(known), began.Add(at)); err != nil || !differs {
			t.Fatalf("%t, %v", differs, err)
		}
	}
	is := func(what, was, want string) {
		t.Helper()
		if diff := cmp.Diff(want, string(b.Correct([]byte(was), func() bool { return false }))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	settle := func(at time.Duration, want ...Pod) {
		t.Helper()
		if diff := cmp.Diff(want, b.Settle(began.Add(at))); diff != "" {
			t.Errorf("settled before %s (-want +got):\n%s", at, diff)
		}
	}
	is("nothing is known", sliceThat(true, true, false), sliceThat(true, true, false))
	taken("10.1.0.5", "False", 0)
	settle(0)
	is("taken", sliceThat(true, true, false), sliceThat(false, false, false))
	settle(1, Pod{"ns", "a", "u1"})
	is("settled", sliceThat(true, true, false), sliceThat(true, true, false))
	if len(b.pods) > 0 {
		t.Errorf("it is known still: %v", b.pods)
	}
	moved := func(conditions string) string { return strings.Replace(conditions, `"10.1.0.5"`, `"10.1.0.8"`, 1) }
	taken("10.1.0.8", "True", 2)
	is("with another address", sliceThat(false, false, false), moved(sliceThat(true, true, false)))
	settle(3, Pod{"ns", "a", "u1"})
	settle(3)
	is("with another address, settled", sliceThat(false, false, false), moved(sliceThat(false, false, false)))
	taken("10.1.0.8", "True", 4)
	is("with another address, taken once more", sliceThat(false, false, false), moved(sliceThat(true, true, false)))
	if _, _, err := b.Said([]byte(podWith("a", "u1", "10.1.0.8")), []byte(readiness("False")), began.Add(5)); err != nil {
		t.Fatal(err)
	}
	settle(6)
	is("what was not taken does not settle", sliceThat(true, true, false), moved(sliceThat(false, false, false)))
}

// kubelet says each ten seconds what the API server has not taken, and nothing of what is as it has read it.
func TestWhatKubeletDoesNotSayAgainIsNotSoAnyMore(t *testing.T) {
	b, began := New("n"), time.Now()
	known := podWith("a", "u1", "10.1.0.5")
	say := func(at time.Duration) {
		t.Helper()
		if _, _, err := b.Said([]byte(known), []byte(kubelet("u1", []string{"10.1.0.5"}, []string{"10.1.0.8"})), began.Add(at)); err != nil {
			t.Fatal(err)
		}
	}
	address := func() string {
		return string(b.Correct([]byte(slice("u1", "10.1.0.5")), func() bool { return false }))
	}
	say(0)
	say(50 * time.Second)
	if gone := b.Lapse(began.Add(40 * time.Second)); gone != nil || address() != slice("u1", "10.1.0.8") {
		t.Errorf("said again: %v is forgotten, and it is %s", gone, address())
	}
	if gone := b.Lapse(began.Add(time.Minute)); len(gone) != 1 || gone[0] != (Pod{"ns", "a", "u1"}) || address() != slice("u1", "10.1.0.5") {
		t.Errorf("not said again: %v is forgotten, and it is %s", gone, address())
	}
	say(0)
	if _, differs, err := b.Taken([]byte(podWith("a", "u1", "10.1.0.8")), []byte(known), began); differs || err != nil {
		t.Errorf("taken as it was said: %t, %v", differs, err)
	}
	if gone := b.Lapse(began.Add(time.Hour)); gone != nil || address() != slice("u1", "10.1.0.8") {
		t.Errorf("taken: %v is forgotten, and it is %s", gone, address())
	}
	// What is known elsewhere may be older than what was taken.
	if _, differs, err := b.Said([]byte(podWith("a", "u1", "10.1.0.8")), []byte(`{"metadata":{"uid":"u1"},"status":{"phase":"Running"}}`), began); differs || err != nil || address() != slice("u1", "10.1.0.8") {
		t.Errorf("another thing is said: %t, %v, and it is %s", differs, err, address())
	}
	if gone := b.Lapse(began.Add(time.Hour)); len(gone) != 1 || address() != slice("u1", "10.1.0.8") {
		t.Errorf("what was said is forgotten (%v), and what was taken before is to stay: it is %s", gone, address())
	}
}

func TestAnAddressOfBeforeIsKnownThoughTheWatchIsQuickerThanTheAnswer(t *testing.T) {
	b := New("n")
	begin := func() (end func()) {
		t.Helper()
		end, err := b.Begin([]byte(podWith("a", "u1", "10.1.0.5")))
		if err != nil {
			t.Fatal(err)
		}
		return end
	}
	givenUp, end := begin(), begin()
	givenUp()
	after := []byte(podWith("a", "u1", "10.1.0.8"))
	if of, differs, err := b.Taken(after, after, time.Now()); err != nil || !differs || of != (Pod{"ns", "a", "u1"}) {
		t.Errorf("%v, differs %t, %v", of, differs, err)
	}
	if got, want := string(b.Correct([]byte(slice("u1", "10.1.0.5")), func() bool { return false })), slice("u1", "10.1.0.8"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if end(); len(b.before) > 0 {
		t.Errorf("what was answered is known as of before: %v", b.before)
	}
	if _, err := b.Begin([]byte(`[]`)); err == nil {
		t.Error("a list is taken for a pod")
	}
}

func TestWhatKubeletSaysOfAnotherPodIsNotBelieved(t *testing.T) {
	b := New("n")
	for _, patch := range []string{kubelet("u2", []string{"10.1.0.5"}, []string{"10.1.0.6"}), `{"status":`, `[]`, `{"status":{"podIPs":7}}`} {
		if _, moved, err := b.Said([]byte(podWith("a", "u1", "10.1.0.5")), []byte(patch), time.Now()); moved || err == nil {
			t.Errorf("%s: moved %v, %v", patch, moved, err)
		}
	}
}

// Whatever pods are given, in any order: who reads an EndpointSlice of any time before has the address that the pod has now.
func TestAnyAddressOfBeforeIsTheOneOfNow(t *testing.T) {
	seed := rand.Uint64()
	if text := os.Getenv("KOINON_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("KOINON_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		b := New("n")
		known, had := map[string]string{}, map[string]map[string]bool{} // by pod: what the API server knows, and what it had
		for range 20 {
			uid := fmt.Sprint("u", random.IntN(3))
			now := fmt.Sprintf("10.1.0.%d", random.IntN(6))
			if known[uid] == "" { // it starts online
				known[uid], had[uid] = now, map[string]bool{now: true}
				continue
			}
			if _, _, err := b.Said([]byte(podWith(uid, uid, known[uid])), []byte(kubelet(uid, []string{known[uid]}, []string{now})), time.Now()); err != nil {
				t.Fatal(err)
			}
			if had[uid][now] = true; random.IntN(3) == 0 {
				known[uid] = now
			}
			for was := range had[uid] {
				if got := string(b.Correct([]byte(slice(uid, was)), func() bool { return true })); got != slice(uid, now) {
					t.Fatalf("the pod %s has %s, had %s, and is seen as %s", uid, now, was, got)
				}
			}
		}
	}
}
