package peers

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/koinon-io/koinon/pkg/tunnel"
)

const (
	// maxNames is how many names a server may say that it has, and maxAgents how many agents of one.
	maxNames, maxAgents = 100_000, 64
	// maxInstance is how long the instance of an agent may be, in bytes.
	maxInstance = 32
	// maxMessage is how long a message about names may be, in bytes, and maxReport one with a report.
	maxMessage, maxReport = 256 << 10, 8 << 20
	// maxSeen is how many agents a report has.
	maxSeen = 20_000
	// namesAtOnce is how many names one message has.
	namesAtOnce = 500
	// bytesAtOnce is from how many bytes on a message gets no further name.
	bytesAtOnce = maxMessage / 2
)

// MaxBeat is how many agents Standing.Beat has at most.
const MaxBeat = 16

// request is what a stream is for: one of them.
type request struct {
	Dial   *dialRequest   `json:"dial,omitempty"`
	Names  *struct{}      `json:"names,omitempty"`
	Report *reportRequest `json:"report,omitempty"`
}

type dialRequest struct {
	tunnel.Name
	tunnel.Request
	// Shared is that of package tunnel.
	Shared bool `json:"shared,omitempty"`
}

type reportRequest struct {
	tunnel.Name
	Probe         bool  `json:"probe,omitempty"`
	TimeoutMillis int64 `json:"timeoutMillis,omitempty"`
}

// hello is what servers say of themselves.
type hello struct {
	ID string `json:"id"`
}

// entry is a name, and the instances of its agents, sorted. None: the name is gone.
type entry struct {
	tunnel.Name
	Agents []string `json:"agents,omitempty"`
	// Standing is that of the one agent that a node has; nil if the server does not say.
	*Standing
}

// Standing is what agents of one node are compared by.
type Standing struct {
	// Issued is when the agent's certificate was, in seconds since 1970, and Came when the agent did, by the clock of the server that it came
	// to first, in milliseconds.
	Issued int64 `json:"issued"`
	Came   int64 `json:"came"`
	// Beat are the instances that it has come after, the last first.
	Beat []string `json:"beat,omitempty"`
}

// message is about names.
type message struct {
	Sequence uint64  `json:"sequence"`
	Set      []entry `json:"set,omitempty"`
	More     bool    `json:"more,omitempty"`
	Digest   string  `json:"digest,omitempty"`
	Count    int     `json:"count,omitempty"`
}

// check says what is wrong with an entry of another server.
func (e *entry) check() error {
	if err := e.Validate(); err != nil {
		return err
	}
	if len(e.Agents) > maxAgents {
		return fmt.Errorf("%s has %d agents; %d are allowed", e.Name, len(e.Agents), maxAgents)
	}
	for _, agent := range e.Agents {
		if agent == "" || len(agent) > maxInstance {
			return fmt.Errorf("%s has an agent whose instance has %d bytes; 1 to %d are allowed", e.Name, len(agent), maxInstance)
		}
	}
	if e.Standing == nil {
		return nil
	}
	if len(e.Beat) > MaxBeat {
		return fmt.Errorf("%s has an agent that came after %d; %d are allowed", e.Name, len(e.Beat), MaxBeat)
	}
	for _, agent := range e.Beat {
		if agent == "" || len(agent) > maxInstance {
			return fmt.Errorf("%s has an agent that came after one whose instance has %d bytes; 1 to %d are allowed", e.Name, len(agent), maxInstance)
		}
	}
	return nil
}

// digest of one entry, without what servers of an earlier version do not know.
func (e *entry) digest() uint64 {
	text, _ := json.Marshal(entry{Name: e.Name, Agents: e.Agents}) // of strings: never fails
	sum := sha256.Sum256(text)
	return binary.BigEndian.Uint64(sum[:])
}

// names are what agents a server has. Its zero value is empty.
type names struct {
	entries map[tunnel.Name]entry
	digest  uint64
}

// set takes an entry.
func (n *names) set(e entry) {
	if old, ok := n.entries[e.Name]; ok {
		n.digest ^= old.digest()
		delete(n.entries, e.Name)
	}
	if len(e.Agents) == 0 {
		return
	}
	if n.entries == nil {
		n.entries = map[tunnel.Name]entry{}
	}
	n.entries[e.Name] = e
	n.digest ^= e.digest()
}

func (n *names) sum() string { return fmt.Sprintf("%016x", n.digest) }

// take takes what another server says next; last is the sequence before.
func (n *names) take(m *message, last uint64) error {
	if m.Sequence != last+1 {
		return fmt.Errorf("its message %d follows %d", m.Sequence, last)
	}
	for _, e := range m.Set {
		if err := e.check(); err != nil {
			return err
		}
		n.set(e)
		if len(n.entries) > maxNames {
			return fmt.Errorf("it has more than %d names", maxNames)
		}
	}
	if !m.More && (m.Count != len(n.entries) || m.Digest != n.sum()) {
		return fmt.Errorf("it has %d names with the digest %s, and here there are %d with %s", m.Count, m.Digest, len(n.entries), n.sum())
	}
	return nil
}

// cut is the next message of entries, of which it returns the rest.
func cut(sequence uint64, entries []entry) (m message, rest []entry) {
	size, n := 0, 0
	for n < min(len(entries), namesAtOnce) && size < bytesAtOnce {
		e := &entries[n]
		size += len(e.Cluster) + len(e.Node) + 64
		for _, agent := range e.Agents {
			size += len(agent) + 3
		}
		if e.Standing != nil {
			size += 64 + len(e.Beat)*(maxInstance+3)
		}
		n++
	}
	return message{Sequence: sequence, Set: entries[:n], More: n < len(entries)}, entries[n:]
}

// instances are those of agents as they are told: sorted, each once, and not more than may be.
func instances(of []string) []string {
	of = slices.Clone(of)
	slices.Sort(of)
	of = slices.Compact(of)
	return of[:min(len(of), maxAgents)]
}

// send writes a message of JSON.
func send(w io.Writer, what any, most int) error {
	text, err := json.Marshal(what)
	if err != nil {
		return err
	}
	if len(text) > most {
		return fmt.Errorf("a message of %d bytes; %d are allowed", len(text), most)
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(text)), uint32(len(text))), text...))
	return err
}

// receive reads a message of JSON.
func receive(r io.Reader, into any, most int) error {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(length[:])
	if int64(n) > int64(most) {
		return fmt.Errorf("it sent a message of %d bytes; %d are allowed", n, most)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("it sent a message that is not JSON as it should be: %w", err)
	}
	return nil
}
