package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/edgehub/store"
	"github.com/koinon-io/koinon/pkg/edgehub/view"
	"github.com/koinon-io/koinon/test/bench/report"
)

// The columns of what is written to disk: everything each second, and what the hub does.
const (
	eachSecond = "each second"
	asItIs     = "hub"
)

// diskOfADay tells what a day of all nodes that say that they are well writes to disk: a hub's view and its store, with a clock that runs faster.
func (w *world) diskOfADay(_ context.Context, s *sheet) error {
	nodes := w.number(manyNodes, 20)
	for _, column := range []struct {
		name  string
		lasts time.Duration
		flush func(*view.Cache, view.Disk, time.Time) error
	}{
		{eachSecond, w.lasts(20 * time.Minute), func(c *view.Cache, disk view.Disk, _ time.Time) error { return c.Flush(disk) }},
		{asItIs, w.lasts(day), (*view.Cache).FlushDue},
	} {
		w.Say("%s of nodes that say that they are well, written: %s", column.lasts, column.name)
		d := &diary{nodes: nodes, dir: filepath.Join(w.dir, column.name)}
		before := procValue("self", "io", "write_bytes:")
		if err := d.live(column.lasts, column.flush); err != nil {
			return err
		}
		written := (procValue("self", "io", "write_bytes:") - before) * float64(day) / float64(column.lasts)
		group := fmt.Sprintf("%d nodes say every %s that they are well", nodes, heartbeat)
		s.add(column.name, report.Measure{Group: group, Name: "said", Unit: "MB a day"}, float64(d.said)*float64(day)/float64(column.lasts)/1e6)
		s.add(column.name, report.Measure{Group: group, Name: "written to disk", Unit: "MB a day"}, written/1e6)
		s.add(column.name, report.Measure{Group: group, Name: "transactions", Unit: "a day"}, float64(d.transactions)*float64(day)/float64(column.lasts))
	}
	s.note("each second: of %s", w.lasts(20*time.Minute))
	return nil
}

// diary is a view of all nodes, and its disk.
type diary struct {
	nodes int
	dir   string
	disk  *store.Store
	// said is how many bytes nodes have said, and transactions how many there were.
	said, transactions int
	version            int
}

// Apply implements view.Disk.
func (d *diary) Apply(changes ...store.Change) error {
	d.transactions++
	return d.disk.Apply(changes...)
}

// live has nodes say that they are well for a time, and writes what there is each second of it.
func (d *diary) live(lasts time.Duration, flush func(*view.Cache, view.Disk, time.Time) error) (err error) {
	if d.disk, _, _, err = store.Open(filepath.Join(d.dir, "cache.db")); err != nil {
		return err
	}
	defer d.disk.Close()
	cache, err := view.NewCache(nil)
	if err != nil {
		return err
	}
	v := cache.View(view.Key{Version: "v1", Resource: "nodes"})
	var all []*view.Object
	for i := range d.nodes {
		o, err := d.parse(v, i, now.Time)
		if err != nil {
			return err
		}
		all = append(all, o)
	}
	v.Replace(all, uint64(d.version))
	d.said = 0
	beaten := 0
	for passed := time.Duration(0); passed < lasts; passed += time.Second {
		for ; beaten < int(float64(d.nodes)*float64(passed)/float64(heartbeat)); beaten++ {
			o, err := d.parse(v, beaten%d.nodes, now.Add(passed))
			if err != nil {
				return err
			}
			v.Apply(o, false)
		}
		if err := flush(cache, d, now.Add(passed)); err != nil {
			return err
		}
	}
	return nil
}

// parse is a node as it is at a time.
func (d *diary) parse(v *view.View, i int, at time.Time) (*view.Object, error) {
	d.version++
	n := node(i)
	n.APIVersion, n.Kind, n.ResourceVersion, n.Status.Conditions = "v1", "Node", strconv.Itoa(d.version), nodeConditions(metav1.NewTime(at))
	body, err := json.Marshal(n)
	if err != nil {
		return nil, err
	}
	d.said += len(body)
	return v.Parse(body)
}
