package service

import (
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/record"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/carrier"
	"github.com/koinon-io/koinon/pkg/tunnel/server"
)

func TestAgentsThatComeAndGoAreTold(t *testing.T) {
	const is = `The agent of cluster "m1" at host "h", 192.0.2.7 (direct), version "v1", `
	for what, test := range map[string]struct {
		cluster string
		lasts   time.Duration
		want    []string
	}{
		"one that stays":                            {"m1", time.Minute, []string{"Normal AgentConnected " + is + "connected", "Warning AgentDisconnected " + is + "disconnected"}},
		"one that looked for another replica":       {"m1", time.Millisecond, nil},
		"one of a cluster of which nothing is here": {"m2", time.Minute, nil},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				recorder := record.NewFakeRecorder(10)
				c := newComings(slog.New(slog.DiscardHandler), recorder, func(name string) *v1beta1.KubeFedCluster {
					if name != "m1" {
						return nil
					}
					return &v1beta1.KubeFedCluster{ObjectMeta: metav1.ObjectMeta{Name: name}}
				})
				link := server.Link{Name: tunnel.Name{Cluster: test.cluster}, Agent: tunnel.AgentInfo{Host: "h", Version: "v1"}, From: "192.0.2.7:1234", Way: carrier.Direct}
				c.changed(link, nil)
				time.Sleep(test.lasts) // of the bubble
				synctest.Wait()
				c.changed(link, errors.New("the link was lost"))
				close(recorder.Events)
				var got []string
				for event := range recorder.Events {
					got = append(got, event)
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}
