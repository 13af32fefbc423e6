package apiserver

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	federationv1alpha1 "github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	typesv1beta2 "github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

func TestWhatAMaskKeepsAsItIs(t *testing.T) {
	names := func(names ...string) *typesv1beta2.Placement {
		p := &typesv1beta2.Placement{Topologies: []typesv1beta2.TopologyReference{}}
		for _, name := range names {
			p.Topologies = append(p.Topologies, typesv1beta2.TopologyReference{Name: name})
		}
		return p
	}
	selects := func(zone string) *typesv1beta2.Placement {
		return &typesv1beta2.Placement{TopologySelector: &metav1.LabelSelector{MatchLabels: map[string]string{"zone": zone}}}
	}
	cell := &federationv1alpha1.Cell{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "rz00a", Labels: map[string]string{"zone": "eu"}}}
	now := metav1.Now()
	for sentence, test := range map[string]struct {
		topologyType string
		mask         *typesv1beta2.Placement
		deleted      *metav1.Time
		want         bool
	}{
		"no mask":                                {topologyType: "cell"},
		"a mask that names the cell":             {topologyType: "cell", mask: names("rz00b", "rz00a")},
		"a mask that names another":              {topologyType: "cell", mask: names("rz00b"), want: true},
		"a mask that names nobody":               {topologyType: "cell", mask: names(), want: true},
		"a mask that selects the cell":           {topologyType: "cell", mask: selects("eu")},
		"a mask that selects others":             {topologyType: "cell", mask: selects("us"), want: true},
		"a mask that names the cell's zone":      {topologyType: "cell:zone", mask: names("us", "eu")},
		"a mask that names another zone":         {topologyType: "cell:zone", mask: names("us"), want: true},
		"a zone that is called like the cell":    {topologyType: "cell:zone", mask: names("rz00a"), want: true},
		"a zone of clusters":                     {topologyType: "cluster:zone", mask: names("eu"), want: true},
		"an object that is being deleted":        {topologyType: "cell", mask: names("rz00b"), deleted: &now},
		"a mask that names the cell's cluster":   {topologyType: "cluster", mask: names("rz00a.shop")},
		"a mask that names the member":           {topologyType: "cluster", mask: names("m1"), want: true},
		"a mask of clusters never selects cells": {topologyType: "cluster", mask: selects("eu"), want: true},
	} {
		object := &typesv1beta2.FederatedObject{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: test.deleted}}
		object.Spec.TopologyType, object.Spec.PlacementMask = test.topologyType, test.mask
		if got, err := isMasked(object, cell); err != nil || got != test.want {
			t.Errorf("%s: got %v, %v, want %v", sentence, got, err, test.want)
		}
	}
}
