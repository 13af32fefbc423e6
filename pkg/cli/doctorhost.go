package cli

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
	clientversion "k8s.io/client-go/pkg/version"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
	"github.com/koinon-io/koinon/pkg/memberaccess"
)

const (
	// maxClockSkew is by how much clocks may differ.
	maxClockSkew = 2 * time.Second
	// deletesLong is how long a deletion may take.
	deletesLong = 10 * time.Minute
	// maxMemberSkew and maxClientSkew are in minor releases: of a member from the host, and of the host from kubectl.
	maxMemberSkew, maxClientSkew = 3, 1
	// maxAnswerBytes bounds what is read of an answer without a type.
	maxAnswerBytes = 16 << 20
)

// lookAtKoinon reads what the rest goes by, and looks at the host's certificate, clock and version.
func (d *doctor) lookAtKoinon(ctx context.Context) error {
	clusters, err := d.koinon.kubefed.KubeFedClusters(d.System).List(ctx, metav1.ListOptions{})
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("the server at %s does not serve %s: it is not Koinon's; choose its context with --context", d.source.server, v1beta1.SchemeGroupVersion)
	}
	if err != nil {
		return fmt.Errorf("list the KubeFedClusters: %s", sentence(err))
	}
	d.clusters = clusters.Items
	if i := slices.IndexFunc(d.clusters, func(c v1beta1.KubeFedCluster) bool { return c.Name == d.cluster }); d.cluster != "" && i < 0 {
		return fmt.Errorf("there is no KubeFedCluster %q in namespace %q", d.cluster, d.System)
	} else if d.cluster != "" && d.clusters[i].Labels[v1alpha1.TopologyLabel] != "" {
		return fmt.Errorf("the KubeFedCluster %q stands for a cell or an edge unit: ask about its member", d.cluster)
	}
	if types, err := d.koinon.kubefed.FederatedTypeConfigs(d.System).List(ctx, metav1.ListOptions{}); err != nil {
		d.unknown("types", "the federated types, and so the rights that members have to give", err)
	} else {
		d.types = types.Items
	}
	const subject = "host"
	answer, err := ask(ctx, d.koinon.http, d.source.server+"/version", d.now)
	if err != nil {
		d.unknown(subject, "its version, clock and certificate", err)
		return nil
	}
	d.add(answer.skew(subject, "the host")...)
	if answer.tls != nil && len(answer.tls.PeerCertificates) > 0 {
		d.add(ends(subject, "the certificate of the API server", answer.tls.PeerCertificates[0].NotAfter, d.now(), "kubeadm certs renew apiserver")...)
	}
	var said version.Info
	if err := json.Unmarshal(answer.body, &said); err == nil {
		d.hostVersion = said.GitVersion
		d.add(clientSkew(said.GitVersion, clientversion.Get().GitVersion)...)
	}
	return nil
}

// members are the KubeFedClusters that are looked at: those of cells and edge units are as their member is.
func (d *doctor) members() (members []*v1beta1.KubeFedCluster) {
	for i := range d.clusters {
		c := &d.clusters[i]
		if c.Labels[v1alpha1.TopologyLabel] == "" && (d.cluster == "" || c.Name == d.cluster) {
			members = append(members, c)
		}
	}
	return members
}

// answered is an answer, with when it was asked for and when it came.
type answered struct {
	asked, came time.Time
	// date is the server's clock in whole seconds; zero if it did not say.
	date time.Time
	tls  *tls.ConnectionState
	body []byte
}

// ask reads a URL.
func ask(ctx context.Context, client *http.Client, url string, now func() time.Time) (*answered, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	a := &answered{asked: now()}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	a.came = now()
	a.date, _ = http.ParseTime(response.Header.Get("Date"))
	a.tls = response.TLS
	if a.body, err = io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes)); err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		var status metav1.Status
		if json.Unmarshal(a.body, &status) == nil && status.Message != "" {
			return nil, &apierrors.StatusError{ErrStatus: status}
		}
		return nil, fmt.Errorf("%s answers %s", request.URL.Path, response.Status)
	}
	return a, nil
}

// ahead is by how much the server's clock is ahead of the one here, less than 0 if it is behind.
func (a *answered) ahead() time.Duration {
	if a.date.IsZero() {
		return 0
	}
	return memberaccess.Ahead(a.date, a.asked, a.came)
}

// skew says by how much a clock differs from the one here, if it is too much.
func (a *answered) skew(subject, whose string) []finding {
	differs, how := a.ahead(), "ahead of"
	if differs < 0 {
		differs, how = -differs, "behind"
	}
	if differs <= maxClockSkew {
		return nil
	}
	return []finding{{severityWarning, subject, fmt.Sprintf("the clock of %s is %s or more %s the one here: certificates and tokens may not be valid yet, or not any more", whose,
		differs.Round(time.Second), how), "timedatectl timesync-status"}}
}

// ends says that something has ended, or ends soon.
func ends(subject, what string, at, now time.Time, command string) []finding {
	return endings(subject, []memberaccess.Ending{{What: what, At: at}}, now, command)
}

// endings says which of them have ended, or end soon.
func endings(subject string, all []memberaccess.Ending, now time.Time, command string) (found []finding) {
	for _, e := range all {
		severity := severityWarning
		if e.Ended(now) {
			severity = severityError
		}
		if e.Near(now) {
			found = append(found, finding{severity, subject, e.Sentence(now), command})
		}
	}
	return found
}

// minor reads the minor release of a version such as v1.36.2; ok is false if it is none.
func minor(gitVersion string) (n int, ok bool) {
	parts := strings.SplitN(strings.TrimPrefix(gitVersion, "v"), ".", 3)
	if len(parts) < 2 || parts[0] != "1" {
		return 0, false
	}
	n, err := strconv.Atoi(parts[1])
	return n, err == nil
}

func apart(a, b string) (n int, ok bool) {
	first, firstOK := minor(a)
	second, secondOK := minor(b)
	return max(first-second, second-first), firstOK && secondOK
}

func clientSkew(host, client string) []finding {
	if n, ok := apart(host, client); ok && n > maxClientSkew {
		return []finding{{severityWarning, "host", fmt.Sprintf("it is Kubernetes %s, and this command was made for %s: %d minor release is supported between them", host, client, maxClientSkew), "kubectl koinon version"}}
	}
	return nil
}

// joinedTwice are members of one cluster. given are the flags of the commands.
func joinedTwice(members []*v1beta1.KubeFedCluster, given string) (found []finding) {
	byUID := map[string]string{}
	for _, member := range members {
		uid := member.Annotations[v1beta1.ClusterUIDAnnotation]
		if first := byUID[uid]; uid != "" && first != "" {
			found = append(found, finding{severityError, "member " + member.Name,
				fmt.Sprintf("it is the same cluster as %s: what is placed under one name is deleted under the other", first),
				"kubectl koinon unjoin " + member.Name + given + " --keep-objects"})
			continue
		}
		byUID[uid] = member.Name
	}
	return found
}

// lookAtTypes looks for types that are not served, or that do not go.
func (d *doctor) lookAtTypes() {
	for i := range d.types {
		config := &d.types[i]
		command := fmt.Sprintf("%s -n %s get federatedtypeconfig %s -o yaml", d.kubectl(), d.System, config.Name)
		subject := "type " + config.Name
		if d.stuck(config) {
			d.add(finding{severityError, subject, d.deleting(config), command})
		}
		for _, condition := range config.Status.Conditions {
			if condition.Type == v1beta1.TypeServed && condition.Status == metav1.ConditionFalse && condition.Reason != v1beta1.ReasonLoading {
				d.add(finding{severityError, subject, "it is not served: " + condition.Message, command})
			}
		}
	}
}

// stuck reports whether the deletion of an object takes too long.
func (d *doctor) stuck(object metav1.Object) bool {
	deleted := object.GetDeletionTimestamp()
	return deleted != nil && d.now().Sub(deleted.Time) > deletesLong
}

func (d *doctor) deleting(object metav1.Object) string {
	said := "it is being deleted since " + stamp(*object.GetDeletionTimestamp())
	if held := object.GetFinalizers(); len(held) > 0 {
		said += ", and the finalizers " + strings.Join(held, ", ") + " hold it"
	}
	return said
}

// apiServices is what is read of the host's APIServices: their types are not linked.
type apiServices struct {
	Items []struct {
		Metadata metav1.ObjectMeta `json:"metadata"`
		Status   struct {
			Conditions []struct{ Type, Status, Message string } `json:"conditions"`
		} `json:"status"`
	} `json:"items"`
}

// lookAtAPIServices looks for those that are not available: namespaces of the host are not deleted
// while there are any.
func (d *doctor) lookAtAPIServices(ctx context.Context) {
	answer, err := ask(ctx, d.koinon.http, d.source.server+"/apis/apiregistration.k8s.io/v1/apiservices", d.now)
	var list apiServices
	if err == nil {
		err = json.Unmarshal(answer.body, &list)
	}
	if err != nil {
		d.unknown("host", "its APIServices", err)
		return
	}
	for i := range list.Items {
		service := &list.Items[i]
		for _, condition := range service.Status.Conditions {
			if condition.Type == "Available" && condition.Status != "True" {
				d.add(finding{severityError, "apiservice " + service.Metadata.Name,
					"it is not available, so that no namespace of the host can be deleted: " + condition.Message,
					d.kubectl() + " get apiservice " + service.Metadata.Name + " -o yaml"})
			}
		}
	}
}

// lookAtNamespaces looks for those of the host that do not go.
func (d *doctor) lookAtNamespaces(ctx context.Context) {
	namespaces, err := d.koinon.core.Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		d.unknown("namespaces", "those of the host that are being deleted", err)
		return
	}
	for i := range namespaces.Items {
		namespace := &namespaces.Items[i]
		if !d.stuck(namespace) {
			continue
		}
		problem := d.deleting(namespace)
		for _, condition := range namespace.Status.Conditions {
			if condition.Status == corev1.ConditionTrue && condition.Message != "" {
				problem += ": " + condition.Message
			}
		}
		d.add(finding{severityError, "namespace " + namespace.Name, problem, d.kubectl() + " get namespace " + namespace.Name + " -o yaml"})
	}
}

// lookAtEncryption says what servers say of credentials in the datastore that are in the clear.
func (d *doctor) lookAtEncryption(ctx context.Context) {
	const subject = "datastore"
	event, err := d.koinon.core.Events(d.System).Get(ctx, v1alpha1.NotEncryptedEvent, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		d.unknown(subject, "whether credentials are encrypted there", err)
	case d.now().Sub(event.LastTimestamp.Time) <= 2*v1alpha1.NotEncryptedEvery:
		d.add(finding{severityWarning, subject, event.Message, fmt.Sprintf("%s -n %s get event %s -o yaml", d.kubectl(), d.System, event.Name)})
	}
}

// lookAtDeletions looks for federated objects that do not go, and which target holds them.
func (d *doctor) lookAtDeletions(ctx context.Context) {
	for i := range d.types {
		federated := d.types[i].Spec.FederatedType
		gvr := schema.GroupVersionResource{Group: federated.Group, Version: v1beta2.SchemeGroupVersion.Version, Resource: federated.PluralName}
		options := metav1.ListOptions{Limit: pageSize}
		for {
			page, err := d.koinon.metadata.Resource(gvr).List(ctx, options)
			if err != nil {
				d.unknown("type "+d.types[i].Name, "its objects that are being deleted", err)
				break
			}
			for j := range page.Items {
				if d.stuck(&page.Items[j]) {
					d.lookAtDeletion(ctx, gvr, &page.Items[j])
				}
			}
			if options.Continue = page.Continue; options.Continue == "" {
				break
			}
		}
	}
}

// lookAtCells looks for those that do not go, and for those that do not leave a place where they were.
func (d *doctor) lookAtCells(ctx context.Context) {
	options := metav1.ListOptions{Limit: pageSize}
	for {
		page, err := d.koinon.federation.Cells("").List(ctx, options)
		if err != nil {
			d.unknown("cells", "those that are being deleted, or move", err)
			return
		}
		for i := range page.Items {
			d.lookAtCell(&page.Items[i])
		}
		if options.Continue = page.Continue; options.Continue == "" {
			return
		}
	}
}

func (d *doctor) lookAtCell(cell *v1alpha1.Cell) {
	problem := ""
	if moving := meta.FindStatusCondition(cell.Status.Conditions, v1alpha1.CellMoving); moving != nil && moving.Status == metav1.ConditionTrue &&
		(moving.Reason == v1alpha1.ReasonObjectsUnknown || d.now().Sub(moving.LastTransitionTime.Time) > deletesLong) {
		problem = "it moves since " + stamp(moving.LastTransitionTime) + ": " + moving.Message
	}
	if d.stuck(cell) {
		problem = d.deleting(cell)
		if ready := meta.FindStatusCondition(cell.Status.Conditions, v1alpha1.CellReady); ready != nil && ready.Reason == v1alpha1.ReasonDraining {
			problem += ": " + ready.Message
		}
	}
	if problem != "" {
		d.add(finding{severityError, "cell " + cell.Namespace + "/" + cell.Name, problem,
			d.kubectl() + " -n " + cell.Namespace + " get cell " + cell.Name + " -o yaml"})
	}
}

func (d *doctor) lookAtDeletion(ctx context.Context, gvr schema.GroupVersionResource, object *metav1.PartialObjectMetadata) {
	name := strings.TrimPrefix(object.Namespace+"/"+object.Name, "/")
	command := d.kubectl() + " get " + gvr.GroupResource().String() + " " + object.Name + " -o yaml"
	path := "/apis/" + gvr.GroupVersion().String()
	if object.Namespace != "" {
		path += "/namespaces/" + object.Namespace
		command = d.kubectl() + " -n " + object.Namespace + " get " + gvr.GroupResource().String() + " " + object.Name + " -o yaml"
	}
	problem := d.deleting(object)
	var whole struct {
		Status v1beta2.FederatedObjectStatus `json:"status"`
	}
	answer, err := ask(ctx, d.koinon.http, d.source.server+path+"/"+gvr.Resource+"/"+object.Name, d.now)
	if err == nil {
		err = json.Unmarshal(answer.body, &whole)
	}
	if err != nil {
		problem += "; which target waits is not known: " + sentence(err)
	} else if holding := holders(whole.Status.Targets); holding != "" {
		problem += "; it waits for " + holding
	}
	d.add(finding{severityError, gvr.Resource + " " + name, problem, command})
}

// holders are the targets that a deletion waits for.
func holders(targets []v1beta2.TargetStatus) string {
	var names []string
	for _, t := range targets {
		why := cmp.Or(t.Message, string(t.State))
		if why != "" {
			why = " (" + why + ")"
		}
		names = append(names, t.Name+why)
	}
	return some(names)
}
