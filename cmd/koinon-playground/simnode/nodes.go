package simnode

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/client-go/kubernetes"
	"k8s.io/klog/v2"
)

const (
	heartbeatPeriod  = 10 * time.Second
	heartbeatRetry   = 200 * time.Millisecond
	heartbeatTimeout = 5 * time.Second
	// leaseDuration is kubelet's default.
	leaseDuration = 40 * time.Second
)

// SimulatedLabel is on every simulated node.
const SimulatedLabel = "playground.koinon.io/simulated"

// heartbeat keeps the nodes there, Ready, and their leases fresh.
func (s *Simulator) heartbeat(ctx context.Context) {
	logger := klog.FromContext(ctx)
	for {
		pause := heartbeatPeriod
		for _, name := range s.nodes {
			if err := s.keepNode(ctx, name); err != nil && ctx.Err() == nil {
				logger.Error(err, "Kept a node in vain, will try again", "node", name)
				pause = heartbeatRetry
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// keepNode makes a node that is missing, reports one Ready that is not, and renews its
// lease.
func (s *Simulator) keepNode(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, heartbeatTimeout)
	defer cancel()
	node, err := s.nodeObj.Get(name)
	if apierrors.IsNotFound(err) {
		node, err = s.createNode(ctx, name)
	}
	if err != nil {
		return fmt.Errorf("make node: %w", err)
	}
	if !nodeReady(node) {
		if err := s.reportReady(ctx, node); err != nil {
			return err
		}
	}
	return renewLease(ctx, s.client, node, time.Now())
}

func (s *Simulator) createNode(ctx context.Context, name string) (*corev1.Node, error) {
	nodes := s.client.CoreV1().Nodes()
	node, err := nodes.Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name: name,
		Labels: map[string]string{
			SimulatedLabel:         "true",
			corev1.LabelHostname:   name,
			corev1.LabelOSStable:   "linux",
			corev1.LabelArchStable: "amd64",
		},
	}}, metav1.CreateOptions{FieldManager: fieldManager})
	if apierrors.IsAlreadyExists(err) { // the cache lags behind
		return nodes.Get(ctx, name, metav1.GetOptions{})
	}
	return node, err
}

func nodeReady(node *corev1.Node) bool {
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func (s *Simulator) reportReady(ctx context.Context, node *corev1.Node) error {
	status, err := s.nodeStatus(node.Name, time.Now())
	if err != nil {
		return err
	}
	patch, err := json.Marshal(map[string]any{"status": status})
	if err != nil {
		return fmt.Errorf("encode node status: %w", err)
	}
	_, err = s.client.CoreV1().Nodes().Patch(ctx, node.Name, types.StrategicMergePatchType, patch,
		metav1.PatchOptions{FieldManager: fieldManager}, "status")
	if err != nil {
		return fmt.Errorf("write node status: %w", err)
	}
	return nil
}

// nodeStatus is what a kubelet of the cluster's own version reports.
func (s *Simulator) nodeStatus(name string, now time.Time) (*corev1.NodeStatus, error) {
	server, err := s.client.Discovery().ServerVersion()
	if err != nil {
		return nil, fmt.Errorf("ask for the version of the cluster: %w", err)
	}
	if _, err := version.ParseSemantic(server.GitVersion); err != nil {
		return nil, fmt.Errorf("version %q of the cluster: %w", server.GitVersion, err)
	}
	resources := corev1.ResourceList{
		corev1.ResourceCPU:              resource.MustParse("32"),
		corev1.ResourceMemory:           resource.MustParse("128Gi"),
		corev1.ResourceEphemeralStorage: resource.MustParse("1Ti"),
		corev1.ResourcePods:             resource.MustParse("1000"),
	}
	status := &corev1.NodeStatus{
		Capacity:    resources,
		Allocatable: resources,
		Addresses: []corev1.NodeAddress{
			{Type: corev1.NodeInternalIP, Address: hostIP},
			{Type: corev1.NodeHostName, Address: name},
		},
		DaemonEndpoints: corev1.NodeDaemonEndpoints{KubeletEndpoint: corev1.DaemonEndpoint{Port: s.kubeletPort}},
		NodeInfo: corev1.NodeSystemInfo{
			KubeletVersion: server.GitVersion, OperatingSystem: "linux", Architecture: "amd64",
			OSImage: "simulated", KernelVersion: "simulated", ContainerRuntimeVersion: "simulated://1",
		},
	}
	for kind, value := range map[corev1.NodeConditionType]corev1.ConditionStatus{
		corev1.NodeReady:          corev1.ConditionTrue,
		corev1.NodeMemoryPressure: corev1.ConditionFalse,
		corev1.NodeDiskPressure:   corev1.ConditionFalse,
		corev1.NodePIDPressure:    corev1.ConditionFalse,
	} {
		status.Conditions = append(status.Conditions, corev1.NodeCondition{
			Type: kind, Status: value, Reason: "Simulated", Message: "a simulated node",
			LastHeartbeatTime: metav1.NewTime(now), LastTransitionTime: metav1.NewTime(now),
		})
	}
	return status, nil
}

// renewLease writes the heartbeat of a node.
func renewLease(ctx context.Context, client kubernetes.Interface, node *corev1.Node, now time.Time) error {
	leases := client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	renew := metav1.NewMicroTime(now)
	lease, err := leases.Get(ctx, node.Name, metav1.GetOptions{})
	if err == nil {
		lease.Spec.RenewTime = &renew
		_, err = leases.Update(ctx, lease, metav1.UpdateOptions{FieldManager: fieldManager})
	} else if apierrors.IsNotFound(err) {
		seconds := int32(leaseDuration.Seconds())
		_, err = leases.Create(ctx, &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{
				Name: node.Name,
				OwnerReferences: []metav1.OwnerReference{
					{APIVersion: "v1", Kind: "Node", Name: node.Name, UID: node.UID},
				},
			},
			Spec: coordinationv1.LeaseSpec{HolderIdentity: &node.Name, LeaseDurationSeconds: &seconds, RenewTime: &renew},
		}, metav1.CreateOptions{FieldManager: fieldManager})
	}
	if err != nil {
		return fmt.Errorf("renew lease: %w", err)
	}
	return nil
}
