package peers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/koinon-io/koinon/pkg/tunnel"
)

// sentTo is what a reader has after entries came in messages.
func sentTo(t *testing.T, reader *names, sequence uint64, entries []entry, own *names) (last uint64, messages int) {
	t.Helper()
	for {
		var m message
		m, entries = cut(sequence, entries)
		if !m.More {
			m.Digest, m.Count = own.sum(), len(own.agents)
		}
		var wire bytes.Buffer
		if err := send(&wire, m, maxMessage); err != nil {
			t.Fatal(err)
		}
		var came message
		if err := receive(&wire, &came, maxMessage); err != nil {
			t.Fatal(err)
		}
		if err := reader.take(&came, sequence-1); err != nil {
			t.Fatal(err)
		}
		messages++
		if !m.More {
			return sequence, messages
		}
		sequence++
	}
}

func TestNamesComeWholeThenAsTheyChange(t *testing.T) {
	var own, read names
	var all []entry
	for i := range 10_000 {
		e := entry{tunnel.Name{Cluster: fmt.Sprintf("m%d", i), Node: fmt.Sprintf("node-%d.of.a.long.name.example", i)}, []string{"0123456789abcdef", "fedcba9876543210"}}
		own.set(e)
		all = append(all, e)
	}
	last, messages := sentTo(t, &read, 1, all, &own)
	if len(read.agents) != 10_000 || messages < 10 {
		t.Fatalf("got %d names in %d messages", len(read.agents), messages)
	}
	gone := entry{all[7].Name, nil}
	changed := entry{all[8].Name, []string{"77"}}
	own.set(gone)
	own.set(changed)
	sentTo(t, &read, last+1, []entry{gone, changed}, &own)
	if len(read.agents) != 9_999 || len(read.agents[changed.Name]) != 1 {
		t.Errorf("got %d names, and %v", len(read.agents), read.agents[changed.Name])
	}
	for what, m := range map[string]message{
		"a gap":               {Sequence: last + 4, Count: 9_999, Digest: own.sum()},
		"another count":       {Sequence: last + 2, Count: 9_998, Digest: own.sum()},
		"another digest":      {Sequence: last + 2, Count: 9_999, Digest: "0"},
		"a name that is none": {Sequence: last + 2, Set: []entry{{tunnel.Name{Cluster: "../m1"}, []string{"1"}}}, More: true},
		"many agents":         {Sequence: last + 2, Set: []entry{{tunnel.Name{Cluster: "m1"}, make([]string, maxAgents+1)}}, More: true},
	} {
		if err := read.take(&m, last+1); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
}

func TestAServerCannotHaveNamesWithoutEnd(t *testing.T) {
	var read names
	for i := range maxNames {
		read.set(entry{tunnel.Name{Cluster: fmt.Sprint("m", i)}, []string{"1"}})
	}
	if err := read.take(&message{Sequence: 1, More: true, Set: []entry{{tunnel.Name{Cluster: "one-more"}, []string{"1"}}}}, 0); err == nil {
		t.Error("it is taken")
	}
}

func FuzzNames(f *testing.F) {
	var seed bytes.Buffer
	_ = send(&seed, message{Sequence: 1, Set: []entry{{tunnel.Name{Cluster: "m1"}, []string{"a"}}}, Count: 1}, maxMessage)
	f.Add(seed.Bytes())
	f.Add([]byte{0, 0, 0, 2, '{', '}'})
	f.Add([]byte{255, 255, 255, 255})
	f.Fuzz(func(t *testing.T, wire []byte) {
		var read names
		r := bytes.NewReader(wire)
		for last := uint64(0); ; last++ {
			var m message
			if receive(r, &m, maxMessage) != nil || read.take(&m, last) != nil {
				break
			}
		}
		var again names
		for name, agents := range read.agents {
			if name.Validate() != nil || len(agents) == 0 {
				t.Errorf("took %v with %v", name, agents)
			}
			again.set(entry{name, agents})
		}
		if again.digest != read.digest {
			t.Errorf("the digest of %v is %x, and was %x", read.agents, again.digest, read.digest)
		}
	})
}

func FuzzRequest(f *testing.F) {
	for _, text := range []string{`{"dial":{"cluster":"m1","node":"n1","network":"tcp","address":"apiserver","timeoutMillis":5000}}`, `{"names":{}}`, `{"report":{"cluster":"m1","probe":true}}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var r request
		if json.Unmarshal(text, &r) != nil {
			return
		}
		again, err := json.Marshal(r)
		var back request
		if err != nil || json.Unmarshal(again, &back) != nil {
			t.Errorf("%q became %q: %v", text, again, err)
		}
	})
}
