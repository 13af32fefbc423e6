package peers

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
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
			m.Digest, m.Count = own.sum(), len(own.entries)
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
		e := entry{Name: tunnel.Name{Cluster: fmt.Sprintf("m%d", i), Node: fmt.Sprintf("node-%d.of.a.long.name.example", i)}, Agents: []string{"0123456789abcdef", "fedcba9876543210"}}
		own.set(e)
		all = append(all, e)
	}
	last, messages := sentTo(t, &read, 1, all, &own)
	if len(read.entries) != 10_000 || messages < 10 {
		t.Fatalf("got %d names in %d messages", len(read.entries), messages)
	}
	gone := entry{Name: all[7].Name}
	changed := entry{Name: all[8].Name, Agents: []string{"77"}}
	own.set(gone)
	own.set(changed)
	sentTo(t, &read, last+1, []entry{gone, changed}, &own)
	if len(read.entries) != 9_999 || len(read.entries[changed.Name].Agents) != 1 {
		t.Errorf("got %d names, and %v", len(read.entries), read.entries[changed.Name])
	}
	for what, m := range map[string]message{
		"a gap":               {Sequence: last + 4, Count: 9_999, Digest: own.sum()},
		"another count":       {Sequence: last + 2, Count: 9_998, Digest: own.sum()},
		"another digest":      {Sequence: last + 2, Count: 9_999, Digest: "0"},
		"a name that is none": {Sequence: last + 2, Set: []entry{{Name: tunnel.Name{Cluster: "../m1"}, Agents: []string{"1"}}}, More: true},
		"many agents":         {Sequence: last + 2, Set: []entry{{Name: tunnel.Name{Cluster: "m1"}, Agents: make([]string, maxAgents+1)}}, More: true},
	} {
		if err := read.take(&m, last+1); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
}

func TestAServerCannotHaveNamesWithoutEnd(t *testing.T) {
	var read names
	for i := range maxNames {
		read.set(entry{Name: tunnel.Name{Cluster: fmt.Sprint("m", i)}, Agents: []string{"1"}})
	}
	if err := read.take(&message{Sequence: 1, More: true, Set: []entry{{Name: tunnel.Name{Cluster: "one-more"}, Agents: []string{"1"}}}}, 0); err == nil {
		t.Error("it is taken")
	}
}

func FuzzNames(f *testing.F) {
	var seed bytes.Buffer
	_ = send(&seed, message{Sequence: 1, Set: []entry{{Name: tunnel.Name{Cluster: "m1"}, Agents: []string{"a"}}}, Count: 1}, maxMessage)
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
		for name, e := range read.entries {
			if name.Validate() != nil || e.Name != name || len(e.Agents) == 0 {
				t.Errorf("took %v with %v", name, e)
			}
			again.set(e)
		}
		if again.digest != read.digest {
			t.Errorf("the digest of %v is %x, and was %x", read.entries, again.digest, read.digest)
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

// A server that does not know how agents of nodes stand reads the same names, with the same digest.
func TestHowAgentsStandIsNotOfTheDigest(t *testing.T) {
	n1 := tunnel.Name{Cluster: "m1", Node: "n1"}
	var own, earlier names
	own.set(entry{n1, []string{"5f0c"}, &Standing{Issued: 1, Came: 2, Beat: []string{"77aa"}}})
	earlier.set(entry{Name: n1, Agents: []string{"5f0c"}})
	if own.sum() != earlier.sum() {
		t.Errorf("the digest is %s, and %s to a server of an earlier version", own.sum(), earlier.sum())
	}
	own.set(entry{n1, []string{"5f0c"}, &Standing{Issued: 3}})
	own.set(entry{Name: n1})
	if own.digest != 0 || len(own.entries) != 0 {
		t.Errorf("what is left is %v, with the digest %x", own.entries, own.digest)
	}
	for what, text := range map[string]string{
		"":                                `{"cluster":"m1","node":"n1","agents":["5f0c"],"issued":1,"came":2,"beat":["77aa"]}`,
		"has an agent that came after 17": `{"cluster":"m1","node":"n1","agents":["5f0c"],"issued":1,"beat":[` + strings.Repeat(`"a",`, MaxBeat) + `"a"]}`,
		"whose instance has 0 bytes":      `{"cluster":"m1","node":"n1","agents":["5f0c"],"beat":[""]}`,
	} {
		var e entry
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			t.Fatal(err)
		}
		if err := e.check(); what == "" && err != nil || what != "" && (err == nil || !strings.Contains(err.Error(), what)) {
			t.Errorf("%s: got %v", text, err)
		}
	}
}
