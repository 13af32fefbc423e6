package store

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// model is what a store should have: views by name.
type model map[string]*modelView

type modelView struct {
	kind, version string
	objects       map[string]Object
}

func (m model) clone() model {
	c := model{}
	for name, v := range m {
		c[name] = &modelView{v.kind, v.version, maps.Clone(v.objects)}
	}
	return c
}

func (m model) apply(changes []Change) {
	for _, c := range changes {
		if c.Forget {
			delete(m, c.Name)
			continue
		}
		v := m[c.Name]
		if v == nil || c.Whole {
			v = &modelView{kind: c.Kind, objects: map[string]Object{}}
			m[c.Name] = v
		}
		v.version = c.Version
		for _, name := range c.Delete {
			delete(v.objects, name)
		}
		for _, o := range c.Put {
			v.objects[o.Name] = o
		}
	}
}

// views are what Open should return, in its order.
func (m model) views() []View {
	views := []View{}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		v := View{Name: name, Kind: m[name].kind, Version: m[name].version}
		for _, object := range slices.Sorted(maps.Keys(m[name].objects)) {
			v.Objects = append(v.Objects, m[name].objects[object])
		}
		views = append(views, v)
	}
	return views
}

// source makes random changes, of which several views have the same objects.
type source struct {
	*rand.Rand
	clock int
	// there are names of views.
	there map[string]bool
}

func newSource(t *testing.T) *source {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("KOINON_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("KOINON_SEED=%d", seed)
	return &source{rand.New(rand.NewPCG(seed, 0)), 0, map[string]bool{}}
}

// size is how much is done of something: more if there is time.
func size(small, large int) int {
	if os.Getenv("KOINON_LONG") != "" {
		return large
	}
	return small
}

var kinds = []string{"v1/pods", "v1/configmaps", "discovery.k8s.io/v1/endpointslices"}

func (s *source) object() Object {
	s.clock++
	name := fmt.Sprintf("ns%d/object-%d", s.IntN(2), s.IntN(30))
	// Often the one that another view has already.
	version := s.clock / 8
	body := bytes.Repeat([]byte(fmt.Sprintf("%s at %d;", name, version)), 1+(version*7+len(name))%400)
	return Object{Name: name, Version: strconv.Itoa(version), Body: body}
}

func (s *source) changes() []Change {
	var changes []Change
	for _, i := range s.Perm(6)[:1+s.IntN(3)] {
		c := Change{Name: fmt.Sprintf("view %d", i), Kind: kinds[i%len(kinds)], Version: strconv.Itoa(s.clock), Whole: s.IntN(4) == 0, Forget: s.IntN(12) == 0}
		c.Whole = c.Whole || !s.there[c.Name]
		s.there[c.Name] = !c.Forget
		put := map[string]Object{}
		for range s.IntN(12) {
			o := s.object()
			put[o.Name] = o
		}
		for range s.IntN(6) {
			if name := s.object().Name; put[name].Name == "" {
				c.Delete = append(c.Delete, name)
			}
		}
		c.Put = slices.Collect(maps.Values(put))
		changes = append(changes, c)
	}
	return changes
}

func opened(t *testing.T, path string) (*Store, []View, *Damage) {
	t.Helper()
	s, views, damage, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, views, damage
}

func same(t *testing.T, got []View, want model) {
	t.Helper()
	if diff := differ(want.views(), got); diff != "" {
		t.Fatalf("views (-want +got):\n%s", diff)
	}
}

// differ says how views differ. Bodies are compared by their checksums: they are long.
func differ(want, got []View) string {
	text := func(views []View) []string {
		lines := []string{}
		for _, v := range views {
			lines = append(lines, fmt.Sprintf("%s of %s at %s: %d objects", v.Name, v.Kind, v.Version, len(v.Objects)))
			for _, o := range v.Objects {
				lines = append(lines, fmt.Sprintf("  %s at %s: %d bytes, %08x", o.Name, o.Version, len(o.Body), checksum(o.Body)))
			}
		}
		return lines
	}
	return cmp.Diff(text(want), text(got))
}

// entries are how many objects are in the file.
func entries(t *testing.T, s *Store) (n int) {
	t.Helper()
	if err := s.db.QueryRow("SELECT count(*) FROM objects").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestWhatWasAppliedIsThereAfterAnOpenAndNothingElse(t *testing.T) {
	random := newSource(t)
	path := filepath.Join(t.TempDir(), "cache.db")
	s, views, damage := opened(t, path)
	if len(views) > 0 || damage != nil {
		t.Fatalf("a new file has %d views, damage %v", len(views), damage)
	}
	m := model{}
	for range size(60, 600) {
		changes := random.changes()
		if err := s.Apply(changes...); err != nil {
			t.Fatal(err)
		}
		m.apply(changes)
		if random.IntN(20) == 0 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s, views, damage = opened(t, path)
			if damage != nil {
				t.Fatal(damage.Err)
			}
			same(t, views, m)
		}
	}
	distinct := map[string]bool{}
	for _, v := range m {
		for _, o := range v.objects {
			distinct[fmt.Sprint(v.kind, o.Name, o.Version, checksum(o.Body))] = true
		}
	}
	if n := entries(t, s); n != len(distinct) {
		t.Errorf("the file has %d objects, and the views have %d", n, len(distinct))
	}
	for name := range m {
		if err := s.Apply(Change{Name: name, Forget: true}); err != nil {
			t.Fatal(err)
		}
	}
	if n := entries(t, s); n != 0 {
		t.Errorf("there are %d objects of no view", n)
	}
}

// A power cut in the middle of an Apply: of what was not synced any sector may be on the disk. That is the log, and, when it is long, the
// database after it.
func TestACrashLeavesTheStateBeforeOrAfter(t *testing.T) {
	random := newSource(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "cache.db")
	s, _, _ := opened(t, path)
	m := model{}
	const sector = 512
	// torn is a file of which some sectors are as they were before.
	torn := func(before, after []byte) []byte {
		image := make([]byte, len(after))
		copy(image, before)
		for at := 0; at < len(after); at += sector {
			if end := min(at+sector, len(after)); random.IntN(2) == 0 {
				copy(image[at:end], after[at:])
			}
		}
		return image
	}
	boot := func(database, log []byte) []View {
		crashed := filepath.Join(dir, "crashed", "cache.db")
		_ = os.RemoveAll(filepath.Dir(crashed))
		if err := errors.Join(os.MkdirAll(filepath.Dir(crashed), 0o700), os.WriteFile(crashed, database, 0o600), os.WriteFile(crashed+"-wal", log, 0o600)); err != nil {
			t.Fatal(err)
		}
		after, views, damage := opened(t, crashed)
		if damage != nil {
			t.Fatalf("it is damaged: %v", damage.Err)
		}
		if err := after.Apply(Change{Name: "another", Kind: "k", Version: "1", Whole: true}); err != nil {
			t.Fatalf("it cannot be written any more: %v", err)
		}
		_ = after.Close()
		return views
	}
	read := func(name string) []byte {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	before, after, copied := 0, 0, 0
	for range size(40, 400) {
		old, database, log := m.clone(), read(path), read(path+"-wal")
		changes := random.changes()
		if err := s.Apply(changes...); err != nil {
			t.Fatal(err)
		}
		m.apply(changes)
		newDatabase, newLog := read(path), read(path+"-wal")
		got := boot(database, torn(log, newLog))
		switch {
		case differ(old.views(), got) == "":
			before++
		default:
			same(t, got, m)
			after++
		}
		if !bytes.Equal(database, newDatabase) {
			same(t, boot(torn(database, newDatabase), newLog), m)
			copied++
		}
	}
	t.Logf("%d times the state before, %d times that after; %d times the log was copied", before, after, copied)
	if before == 0 || copied == 0 && size(0, 1) == 1 {
		t.Error("that is no test")
	}
}

// What is returned is right, what is not returned is told, and it can be gone on with.
func TestFlippedBytesAreFound(t *testing.T) {
	random := newSource(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "cache.db")
	s, _, _ := opened(t, path)
	m, before := model{}, model{}
	for range 40 {
		changes := random.changes()
		if err := s.Apply(changes...); err != nil {
			t.Fatal(err)
		}
		before = m.clone()
		m.apply(changes)
	}
	_ = s.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lost, late, all := 0, 0, 0
	images := size(40, 1000)
	for i := range images {
		image := bytes.Clone(whole)
		switch {
		case i%10 == 9:
			image = image[:random.IntN(len(image))] // cut off
		default:
			for range 1 << random.IntN(6) {
				image[random.IntN(len(image))] ^= 1 << random.IntN(8)
			}
		}
		damagedFile := filepath.Join(dir, strconv.Itoa(i), "cache.db")
		if err := os.Mkdir(filepath.Dir(damagedFile), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(damagedFile, image, 0o600); err != nil {
			t.Fatal(err)
		}
		s, views, damage, err := Open(damagedFile)
		if err != nil {
			if strings.Contains(err.Error(), "of another version of the hub") { // the byte was in the format
				continue
			}
			t.Fatal(err)
		}
		got := map[string]View{}
		for _, v := range views {
			got[v.Name] = v
		}
		want := m
		if damage == nil && differ(m.views(), views) != "" && differ(before.views(), views) == "" {
			want = before // one of the two pages of meta was hit
		}
		for _, want := range want.views() {
			v, ok := got[want.Name]
			switch {
			case ok:
				if diff := differ([]View{want}, []View{v}); diff != "" {
					t.Fatalf("image %d: %s is another one (-want +got):\n%s", i, want.Name, diff)
				}
			case len(image) == 0: // a new file
			case damage == nil || !damage.More && !slices.Contains(damage.Views, want.Name):
				t.Fatalf("image %d: %s is gone, and nobody says so", i, want.Name)
			default:
				lost++
			}
			all++
		}
		if damage != nil {
			if _, err := os.Stat(damage.Aside); err != nil {
				t.Errorf("image %d: the damaged file is not kept: %v", i, err)
			}
		}
		another := Change{Name: "another", Kind: "k", Version: "1", Whole: true}
		if err := s.Apply(another); errors.Is(err, ErrDamaged) {
			late++
			changes := []Change{another}
			for _, v := range views {
				changes = append(changes, Change{Name: v.Name, Kind: v.Kind, Version: v.Version, Whole: true, Put: v.Objects})
			}
			if err := s.Apply(changes...); err != nil {
				t.Fatalf("image %d: a new file cannot be written: %v", i, err)
			}
		} else if err != nil {
			t.Fatalf("image %d: it cannot be written: %v", i, err)
		}
		_ = s.Close()
		s, again, damage := opened(t, damagedFile)
		if damage != nil || len(again) != len(views)+1 {
			t.Fatalf("image %d: after a repair there is damage %v, and %d views of %d", i, damage, len(again), len(views)+1)
		}
		_ = s.Close()
	}
	t.Logf("%d of %d views were lost; %d of %d times it was found when something was written", lost, all, late, images)
	if lost == all {
		t.Error("no view was saved, ever")
	}
}

func TestViewsOfAnotherClusterAreGone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache.db")
	s, _, _ := opened(t, path)
	change := Change{Name: "v", Kind: "k", Version: "1", Whole: true, Put: []Object{{"a", "1", []byte("x")}}}
	for _, step := range []struct {
		id   string
		want int
	}{{"one", 1}, {"one", 1}, {"two", 0}} {
		if err := s.SetCluster(step.id); err != nil {
			t.Fatal(err)
		}
		if step.want > 0 {
			if err := s.Apply(change); err != nil {
				t.Fatal(err)
			}
		}
		_ = s.Close()
		var views []View
		s, views, _ = opened(t, path)
		if id, err := s.Cluster(); err != nil || id != step.id || len(views) != step.want {
			t.Errorf("cluster %q, %v, %d views; want %q and %d", id, err, len(views), step.id, step.want)
		}
	}
	if err := s.Apply(change); err != nil {
		t.Fatal(err)
	}
	if n := entries(t, s); n != 1 {
		t.Errorf("%d objects", n)
	}
}

// After a start it would pass for all of the view. Nothing else is lost for that, and the file is the same.
func TestAPartOfAViewThatIsNotThereIsNotWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache.db")
	s, _, _ := opened(t, path)
	there := Change{Name: "there", Kind: "k", Version: "1", Whole: true, Put: []Object{{"a", "1", []byte("x")}}}
	missing := Change{Name: "missing", Kind: "k", Version: "2", Put: []Object{{"b", "2", []byte("y")}}}
	if err := s.Apply(there); err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(missing); !errors.Is(err, ErrDamaged) {
		t.Fatalf("got %v", err)
	}
	if _, err := os.Stat(path + suffixDamaged); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file was put aside: %v", err)
	}
	_ = s.Close()
	s, views, damage := opened(t, path)
	if damage != nil || len(views) != 1 || views[0].Name != "there" {
		t.Errorf("damage %v, views %v", damage, views)
	}
	missing.Whole = true
	if err := s.Apply(missing); err != nil {
		t.Error(err)
	}
}

// Views of the cluster that was noted are written to the new file, which nobody asks again of which it is.
func TestAFileInPlaceOfADamagedOneIsOfTheSameCluster(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache.db")
	s, _, _ := opened(t, path)
	whole := Change{Name: "v", Kind: "k", Version: "1", Whole: true}
	if err := errors.Join(s.SetCluster("one"), s.Apply(whole)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.db.Exec("DROP TABLE members"); err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(whole); !errors.Is(err, ErrDamaged) {
		t.Fatalf("got %v", err)
	}
	if err := s.Apply(whole); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	s, views, _ := opened(t, path)
	if id, err := s.Cluster(); id != "one" || err != nil || len(views) != 1 {
		t.Errorf("%d views of the cluster %q, %v", len(views), id, err)
	}
}

func TestAFileOfAnotherVersionIsNotTouched(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache.db")
	s, _, _ := opened(t, path)
	if _, err := s.db.Exec("PRAGMA user_version = 2"); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	before, _ := os.ReadFile(path)
	if _, _, _, err := Open(path); err == nil || !strings.Contains(err.Error(), "it has the format 2, and this version knows 1: it is of another version of the hub") {
		t.Errorf("got %v", err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the file was changed")
	}
}

func TestTwoProcessesDoNotHaveOneFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache.db")
	opened(t, path)
	if _, _, _, err := Open(path); err == nil || !strings.Contains(err.Error(), "another process has it") {
		t.Errorf("got %v", err)
	}
}

func TestChangesThatAreNoneAreRefusedWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache.db")
	s, _, _ := opened(t, path)
	good := Change{Name: "good", Kind: "k", Version: "1", Whole: true, Put: []Object{{"a", "1", nil}}}
	for what, bad := range map[string]Change{
		"no name":           {Kind: "k"},
		"no kind":           {Name: "v", Whole: true},
		"an object without": {Name: "v", Kind: "k", Whole: true, Put: []Object{{Version: "1"}}},
		"a NUL":             {Name: "v", Kind: "k", Whole: true, Put: []Object{{Name: "a\x00b", Version: "1"}}},
		"another kind":      {Name: "good", Kind: "other"},
		"a part of nothing": {Name: "v", Kind: "k", Put: []Object{{"a", "1", nil}}},
	} {
		if err := s.Apply(good, bad); err == nil {
			t.Errorf("%s: it is taken", what)
		}
	}
	_ = s.Close()
	if _, views, _ := opened(t, path); len(views) > 0 {
		t.Errorf("a part of it is there: %v", views)
	}
}

// A process of its own, since what it may write is bounded.
func TestOnAFullDiskNothingIsLost(t *testing.T) {
	const role = "KOINON_STORE_ON_A_FULL_DISK"
	if path := os.Getenv(role); path != "" {
		onAFullDisk(t, path)
		return
	}
	path := filepath.Join(t.TempDir(), "cache.db")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestOnAFullDiskNothingIsLost$", "-test.v")
	cmd.Env = append(os.Environ(), role+"="+path)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func onAFullDisk(t *testing.T, path string) {
	s, _, _ := opened(t, path)
	first := Change{Name: "v", Kind: "k", Version: "1", Whole: true, Put: []Object{{"a", "1", []byte("first")}}}
	if err := s.Apply(first); err != nil {
		t.Fatal(err)
	}
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	full := old
	full.Cur = uint64(s.Size())
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &full); err != nil {
		t.Fatal(err)
	}
	large := Change{Name: "v", Kind: "k", Version: "2", Put: []Object{{"a", "2", bytes.Repeat([]byte("x"), 4<<20)}}}
	for range 3 {
		if err := s.Apply(large); err == nil {
			t.Fatal("it fits")
		} else if isDamage(err) {
			t.Fatalf("a full disk is taken for damage: %v", err)
		}
	}
	_ = s.Close()
	s, views, damage := opened(t, path) // as after a restart, which finds the disk full
	if damage != nil || len(views) != 1 || string(views[0].Objects[0].Body) != "first" {
		t.Fatalf("damage %v, views %v", damage, views)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(large); err != nil {
		t.Errorf("there is room again: %v", err)
	}
}

// A process of its own, since root may write everywhere.
func TestAFileThatCannotBeWrittenIsRead(t *testing.T) {
	const role = "KOINON_STORE_READ_ONLY"
	if path := os.Getenv(role); path != "" {
		s, views, damage := opened(t, path)
		if damage != nil || len(views) != 1 {
			t.Fatalf("damage %v, views %v", damage, views)
		}
		if err := s.Apply(Change{Name: "v", Kind: "k", Version: "2"}); !errors.Is(err, ErrReadOnly) {
			t.Errorf("got %v", err)
		}
		if id, err := s.Cluster(); id != "one" || err != nil { // else it would pass for that of any
			t.Errorf("what was read is of the cluster %q, %v", id, err)
		}
		return
	}
	dir, err := os.MkdirTemp("", "store") // t.TempDir is for nobody else
	if err != nil {
		t.Fatal(err)
	}
	data, scratch, binary := filepath.Join(dir, "data"), filepath.Join(dir, "scratch"), filepath.Join(dir, "test")
	t.Cleanup(func() { _ = os.Chmod(data, 0o755); _ = os.RemoveAll(dir) })
	path := filepath.Join(data, "cache.db")
	s, _, _ := opened(t, path)
	if err := errors.Join(s.SetCluster("one"), s.Apply(Change{Name: "v", Kind: "k", Version: "1", Whole: true})); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	text, err := os.ReadFile(os.Args[0])
	if err := errors.Join(err, os.WriteFile(binary, text, 0o755), os.Mkdir(scratch, 0o700), os.Chmod(scratch, 0o777), os.Chmod(dir, 0o755),
		os.Chmod(path, 0o444), os.Chmod(data, 0o555)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary, "-test.run=^TestAFileThatCannotBeWrittenIsRead$", "-test.v")
	cmd.Dir, cmd.Env = scratch, append(os.Environ(), role+"="+path, "TMPDIR="+scratch)
	if os.Getuid() == 0 { // who may write everywhere
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
