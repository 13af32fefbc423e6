package wire

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
)

// letters returns a list of items that fill a part each: a string of one letter, a for the
// first. made counts those that were made.
func letters(n int, made *int) list {
	return list{len: n, appendItem: func(b []byte, i int) ([]byte, error) {
		*made = i + 1
		return append(append(append(b, '"'), bytes.Repeat([]byte{byte('a' + i)}, partBytes)...), '"'), nil
	}}
}

// writerFunc is a function as an io.Writer.
type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func TestALongListIsWrittenInItsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got strings.Builder
		var made int
		if err := letters(5, &made).write(&got); err != nil {
			t.Fatal(err)
		}
		want := `{"kind":"","apiVersion":"","metadata":{},"items":["a","b","c","d","e"]}` + "\n"
		short := got.String()
		for _, letter := range "abcde" {
			short = strings.ReplaceAll(short, strings.Repeat(string(letter), partBytes), string(letter))
		}
		if short != want {
			t.Errorf("got %.200s, want %s", short, want)
		}
	})
}

// TestAListIsMadeNoFurtherThanOnePartAhead: a client that reads slowly holds up what is made
// for it, so that a list takes no more memory than two parts.
func TestAListIsMadeNoFurtherThanOnePartAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var made, written int
		err := letters(20, &made).write(writerFunc(func(b []byte) (int, error) {
			synctest.Wait() // until nothing more is made
			if written++; made > written+1 {
				t.Errorf("%d parts were made when number %d was written", made, written)
			}
			return len(b), nil
		}))
		if err != nil || written != 20 {
			t.Errorf("got %d parts, %v, want 20", written, err)
		}
	})
}

// TestAListEndsWithItsClient: no goroutine is left, which synctest finds.
func TestAListEndsWithItsClient(t *testing.T) {
	errGone := errors.New("gone")
	for sentence, at := range map[string]int{"at the first part": 1, "later": 3} {
		t.Run(sentence, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var made, written int
				err := letters(20, &made).write(writerFunc(func(b []byte) (int, error) {
					if written++; written == at {
						return 0, errGone
					}
					return len(b), nil
				}))
				if !errors.Is(err, errGone) || written != at {
					t.Errorf("got %v after %d parts, want %v after %d", err, written, errGone, at)
				}
			})
		})
	}
}

// TestWhatFailsInAListFailsForItsRequest: also what panics, which would else end the server.
func TestWhatFailsInAListFailsForItsRequest(t *testing.T) {
	errItem := errors.New("no such topology")
	for sentence, at := range map[string]int{"the first item": 0, "a later one": 3} {
		t.Run(sentence, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var made int
				l := letters(5, &made)
				appendItem := l.appendItem
				l.appendItem = func(b []byte, i int) ([]byte, error) {
					if i == at {
						return nil, errItem
					}
					return appendItem(b, i)
				}
				if err := l.write(discard{}); !errors.Is(err, errItem) {
					t.Errorf("got %v, want %v", err, errItem)
				}
				l.appendItem = func(b []byte, i int) ([]byte, error) {
					if i == at {
						panic("a bug")
					}
					return appendItem(b, i)
				}
				defer func() {
					if reason, _ := recover().(string); !strings.Contains(reason, "a bug") {
						t.Errorf("got the panic %q, want that of the item", reason)
					}
				}()
				err := l.write(discard{})
				t.Errorf("got %v, want a panic", err)
			})
		})
	}
}
