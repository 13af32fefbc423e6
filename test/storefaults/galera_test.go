package storefaults

import (
	"fmt"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/storage/storagetest"
)

func TestGaleraTakesWritesOnEveryNodeAndLosesOne(t *testing.T) {
	cluster := storagetest.StartGalera(t, 3)
	r := newRig(t)
	for i, node := range cluster.Nodes {
		r.load.members = append(r.load.members, openMember(t, fmt.Sprintf("node%d", i), "mysql://"+node.DSN(databaseName)))
	}
	r.start()
	for end := time.Now().Add(duration(0)); ; {
		for _, node := range []int{2, 1} {
			r.wait(2 * time.Second)
			cluster.Nodes[node].Kill(t)
			r.fault(fmt.Sprintf("node %d killed", node))
			r.wait(4 * time.Second) // the others go on after three
			cluster.Rejoin(t, node, len(cluster.Nodes))
			r.fault(fmt.Sprintf("node %d joined again", node))
			if time.Now().After(end) {
				break
			}
		}
		if time.Now().After(end) {
			break
		}
	}
	r.wait(time.Second)
	r.finish()
}
