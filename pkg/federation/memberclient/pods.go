package memberclient

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// waitingPods are pods that have no node yet.
const waitingPods = "spec.nodeName=,status.phase=Pending"

// waitingPod is what is read of a pod; the decoder skips the rest.
type waitingPod struct {
	Metadata struct {
		DeletionTimestamp *metav1.Time `json:"deletionTimestamp"`
	} `json:"metadata"`
	Status struct {
		Conditions []struct {
			Type               corev1.PodConditionType `json:"type"`
			Status             corev1.ConditionStatus  `json:"status"`
			Reason             string                  `json:"reason"`
			LastTransitionTime metav1.Time             `json:"lastTransitionTime"`
		} `json:"conditions"`
	} `json:"status"`
}

// unschedulableBefore reports whether the scheduler has found no node for the pod since before a time.
func (p *waitingPod) unschedulableBefore(when time.Time) bool {
	if p.Metadata.DeletionTimestamp != nil {
		return false
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
			return c.LastTransitionTime.Time.Before(when)
		}
	}
	return false
}

// Unschedulable counts the pods of a namespace that a selector of labels selects and for which the
// scheduler of the member has found no node since before a time. Only pods without a node are listed, page
// by page. An error says that the number is not known, and never that it is 0.
func (c *Conn) Unschedulable(ctx context.Context, namespace, selector string, before time.Time) (count int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	token := ""
	for range maxPages {
		meta, err := c.waitingPods(ctx, namespace, selector, token, func(p *waitingPod) {
			if p.unschedulableBefore(before) {
				count++
			}
		})
		if err != nil {
			return 0, err
		}
		if token = meta.Continue; token == "" {
			return count, nil
		}
	}
	return 0, errEndless
}

// waitingPods gives each pod of one page.
func (c *Conn) waitingPods(ctx context.Context, namespace, selector, token string, each func(*waitingPod)) (meta metav1.ListMeta, err error) {
	path := "/api/v1/namespaces/" + namespace + "/pods"
	request := c.client.Get().AbsPath(path).MaxRetries(0).SetHeader("Accept", "application/json").
		Param("fieldSelector", waitingPods).Param("labelSelector", selector).Param("limit", strconv.Itoa(pageSize))
	if token != "" {
		request = request.Param("continue", token)
	}
	body, err := request.Stream(asStream(ctx))
	if err != nil {
		return meta, err
	}
	defer func() { _ = body.Close() }()
	page := newPageReader(body, path)
	meta, err = page.list(func() error {
		var pod waitingPod
		if err := page.value(&pod); err != nil {
			return err
		}
		each(&pod)
		return nil
	})
	if err != nil {
		return meta, fmt.Errorf("read %s: %w", path, err)
	}
	return meta, nil
}

// list reads a list, and has each read an item of it.
func (r *pageReader) list(each func() error) (meta metav1.ListMeta, err error) {
	if err := r.expect(json.Delim('{')); err != nil {
		return meta, err
	}
	hasItems := false
	for r.More() {
		key, err := r.token()
		if err != nil {
			return meta, err
		}
		switch key {
		case "metadata":
			err = r.value(&meta)
		case "items":
			hasItems, err = true, r.array(each)
		default:
			var skipped json.RawMessage
			err = r.value(&skipped)
		}
		if err != nil {
			return meta, err
		}
	}
	if err := r.expect(json.Delim('}')); err != nil {
		return meta, err
	}
	if !hasItems {
		return meta, errNoList
	}
	return meta, nil
}
