package memberclient

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestWhatWasWrittenIsBelievedNoLongerThanItIsTrue: what the watch does not show of our own
// writes is looked at, and whoever listens is told what became of it.
func TestWhatWasWrittenIsBelievedNoLongerThanItIsTrue(t *testing.T) {
	for name, test := range map[string]struct {
		// before the write; then the write; then until it is checked.
		before, write, after func(*lossyMember, *Conn)
		atOnce, events, want string
	}{
		"the watch has shown its end before the answer came": {
			write: func(m *lossyMember, c *Conn) {
				created := m.change("a", "u", false)
				m.change("a", "", false)
				synctest.Wait()
				cacheOf(c).wrote("ns", "a", write{live: created})
			},
			atOnce: "nothing", events: "a 11, a deleted, a deleted", want: "nothing"},
		"the watch has shown another object of the name": {
			write: func(m *lossyMember, c *Conn) {
				created := m.change("a", "u", false)
				m.change("a", "", false)
				m.change("a", "v", false)
				synctest.Wait()
				cacheOf(c).wrote("ns", "a", write{live: created})
			},
			atOnce: "13", events: "a 11, a deleted, a 13, a 13", want: "13"},
		"the watch loses creation and end": {
			write: func(m *lossyMember, c *Conn) {
				created := m.change("a", "u", true)
				m.change("a", "", true)
				cacheOf(c).wrote("ns", "a", write{live: created})
			},
			atOnce: "11", events: "a deleted", want: "nothing"},
		"the watch loses the creation": {
			write: func(m *lossyMember, c *Conn) {
				cacheOf(c).wrote("ns", "a", write{live: m.change("a", "u", true)})
			},
			atOnce: "11", events: "a 11", want: "11"},
		"the watch comes later": {
			write: func(m *lossyMember, c *Conn) {
				cacheOf(c).wrote("ns", "a", write{live: m.change("a", "u", true)})
			},
			after:  func(m *lossyMember, c *Conn) { m.change("a", "u", false) },
			atOnce: "11", events: "a 12", want: "12"},
		"the watch loses creation and end, and says that it has passed them": {
			write: func(m *lossyMember, c *Conn) {
				created := m.change("a", "u", true)
				m.change("a", "", true)
				cacheOf(c).wrote("ns", "a", write{live: created})
			},
			after:  func(m *lossyMember, c *Conn) { m.bookmark() },
			atOnce: "11", events: "a deleted", want: "nothing"},
		"a deletion that was not one": {
			before: func(m *lossyMember, c *Conn) { m.change("a", "u", false) },
			write:  func(m *lossyMember, c *Conn) { c.Gone(configMaps.Resource, "ns", "a", "u") },
			atOnce: "nothing", events: "a 11, a 11", want: "11"},
		"a deletion that the watch loses": {
			before: func(m *lossyMember, c *Conn) { m.change("a", "u", false) },
			write: func(m *lossyMember, c *Conn) {
				m.change("a", "", true)
				c.Gone(configMaps.Resource, "ns", "a", "u")
			},
			atOnce: "nothing", events: "a 11, a deleted", want: "nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				member := newLossyMember()
				conn, heard := observe(t, member, Keep{})
				heard.take()
				for _, step := range []func(*lossyMember, *Conn){test.before, test.write} {
					if step != nil {
						step(member, conn)
						synctest.Wait()
					}
				}
				if got := sees(conn, "a"); got != test.atOnce {
					t.Errorf("at once the cache has %s, want %s", got, test.atOnce)
				}
				if test.after != nil {
					test.after(member, conn)
				}
				time.Sleep(2 * time.Minute) // of the bubble
				if got := sees(conn, "a"); got != test.want {
					t.Errorf("later the cache has %s, want %s", got, test.want)
				}
				if got := heard.take(); got != test.events {
					t.Errorf("got events %q, want %q", got, test.events)
				}
				if member.gets > 4 {
					t.Errorf("the member was asked %d times", member.gets)
				}
				if left := len(cacheOf(conn).writes); left != 0 {
					t.Errorf("%d writes are remembered for nothing", left)
				}
			})
		})
	}
}

func cacheOf(conn *Conn) *Cache { return conn.cachesOf(configMaps.Resource)[0] }

// TestALostEventIsFoundWithinMinutes, whatever lost it, and without a write of ours.
func TestALostEventIsFoundWithinMinutes(t *testing.T) {
	for name, test := range map[string]struct {
		lose   func(*lossyMember)
		events string
		sees   map[string]string
		lists  int64
	}{
		"nothing is lost":                  {func(m *lossyMember) {}, "", map[string]string{"a": "11", "b": "12"}, 2},
		"a creation":                       {func(m *lossyMember) { m.change("c", "w", true) }, "c 13", map[string]string{"a": "11", "c": "13"}, 3},
		"a change":                         {func(m *lossyMember) { m.change("a", "u", true) }, "a 13", map[string]string{"a": "13"}, 3},
		"a deletion":                       {func(m *lossyMember) { m.change("a", "", true) }, "a deleted", map[string]string{"a": "nothing", "b": "12"}, 3},
		"a deletion and a creation":        {func(m *lossyMember) { m.change("a", "", true); m.change("a", "x", true) }, "a 14", map[string]string{"a": "14"}, 3},
		"what is listed is of an old time": {func(m *lossyMember) { m.recall(m.listing()); m.change("a", "", false); m.change("c", "w", false) }, "a deleted, c 14", map[string]string{"a": "nothing", "c": "14"}, 2},
		"an old list, and nothing since": {func(m *lossyMember) {
			m.recall(`{"metadata":{"resourceVersion":"11"},"items":[{"metadata":{"name":"a","namespace":"ns","uid":"u","resourceVersion":"9"}}]}`)
		}, "", map[string]string{"a": "11", "b": "12"}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				member := newLossyMember()
				member.change("a", "u", false)
				member.change("b", "v", false)
				conn, heard := observe(t, member, Keep{})
				heard.take()
				test.lose(member)
				time.Sleep(resyncEvery*3/2 + time.Minute) // of the bubble
				if got := heard.take(); got != test.events {
					t.Errorf("got events %q, want %q", got, test.events)
				}
				for name, want := range test.sees {
					if got := sees(conn, name); got != want {
						t.Errorf("the cache has %s of %s, want %s", got, name, want)
					}
				}
				if n := member.lists.Load(); n != test.lists {
					t.Errorf("got %d lists, want %d", n, test.lists)
				}
			})
		})
	}
}
