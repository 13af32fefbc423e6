package table

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1beta1 "k8s.io/api/rbac/v1beta1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
)

var update = flag.Bool("update", false, "write descriptions.json")

// described are the fields of which descriptions.json has what k8s.io/api says. Of bindings it is what kube-apiserver says: an older version's.
var described = map[string]struct {
	docs   map[string]string
	fields []string
}{
	"apps/v1.DeploymentSpec":          {appsv1.DeploymentSpec{}.SwaggerDoc(), []string{"selector"}},
	"apps/v1.DeploymentStatus":        {appsv1.DeploymentStatus{}.SwaggerDoc(), []string{"updatedReplicas", "availableReplicas"}},
	"apps/v1.DaemonSetSpec":           {appsv1.DaemonSetSpec{}.SwaggerDoc(), []string{"selector"}},
	"apps/v1.DaemonSetStatus":         {appsv1.DaemonSetStatus{}.SwaggerDoc(), []string{"desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled", "numberAvailable"}},
	"apps/v1.ReplicaSetSpec":          {appsv1.ReplicaSetSpec{}.SwaggerDoc(), []string{"replicas", "selector"}},
	"apps/v1.ReplicaSetStatus":        {appsv1.ReplicaSetStatus{}.SwaggerDoc(), []string{"replicas", "readyReplicas"}},
	"apps/v1.ControllerRevision":      {appsv1.ControllerRevision{}.SwaggerDoc(), []string{"revision"}},
	"batch/v1.JobSpec":                {batchv1.JobSpec{}.SwaggerDoc(), []string{"selector"}},
	"batch/v1.JobStatus":              {batchv1.JobStatus{}.SwaggerDoc(), []string{"succeeded"}},
	"batch/v1.CronJobSpec":            {batchv1.CronJobSpec{}.SwaggerDoc(), []string{"schedule", "timeZone", "suspend"}},
	"batch/v1.CronJobStatus":          {batchv1.CronJobStatus{}.SwaggerDoc(), []string{"active", "lastScheduleTime"}},
	"discovery/v1.EndpointSlice":      {discoveryv1.EndpointSlice{}.SwaggerDoc(), []string{"addressType", "ports", "endpoints"}},
	"networking/v1.NetworkPolicySpec": {networkingv1.NetworkPolicySpec{}.SwaggerDoc(), []string{"podSelector"}},
	"networking/v1.ServiceCIDRSpec":   {networkingv1.ServiceCIDRSpec{}.SwaggerDoc(), []string{"cidrs"}},
	"rbac/v1beta1.RoleBinding":        {rbacv1beta1.RoleBinding{}.SwaggerDoc(), []string{"roleRef"}},
	"rbac/v1beta1.ClusterRoleBinding": {rbacv1beta1.ClusterRoleBinding{}.SwaggerDoc(), []string{"roleRef"}},
	"scheduling/v1.PriorityClass":     {schedulingv1.PriorityClass{}.SwaggerDoc(), []string{"value", "globalDefault", "preemptionPolicy"}},

	"storage/v1.CSIDriverSpec":          {storagev1.CSIDriverSpec{}.SwaggerDoc(), []string{"attachRequired", "podInfoOnMount", "storageCapacity", "tokenRequests", "requiresRepublish", "volumeLifecycleModes"}},
	"storage/v1.StorageClass":           {storagev1.StorageClass{}.SwaggerDoc(), []string{"provisioner", "reclaimPolicy", "volumeBindingMode", "allowVolumeExpansion"}},
	"storage/v1.VolumeAttributesClass":  {storagev1.VolumeAttributesClass{}.SwaggerDoc(), []string{"driverName"}},
	"storage/v1.VolumeAttachmentSpec":   {storagev1.VolumeAttachmentSpec{}.SwaggerDoc(), []string{"attacher", "nodeName"}},
	"storage/v1.VolumeAttachmentSource": {storagev1.VolumeAttachmentSource{}.SwaggerDoc(), []string{"persistentVolumeName"}},
	"storage/v1.VolumeAttachmentStatus": {storagev1.VolumeAttachmentStatus{}.SwaggerDoc(), []string{"attached"}},
}

func TestDescriptionsAreThoseOfTheAPI(t *testing.T) {
	want := map[string]map[string]string{}
	for of, fields := range described {
		want[of] = map[string]string{}
		for _, field := range fields.fields {
			want[of][field] = fields.docs[field]
		}
	}
	if *update {
		var text bytes.Buffer
		encoder := json.NewEncoder(&text)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(want); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("descriptions.json", text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, descriptions); diff != "" {
		t.Errorf("descriptions.json (-API +here), run go test with -update:\n%s", diff)
	}
}

// Every column has a description, but for the one that kube-apiserver has none for.
func TestEveryColumnIsDescribed(t *testing.T) {
	for resource, table := range known {
		for _, c := range table.columns {
			if c.Description == "" && c.Name != "Handler" {
				t.Errorf("%s has no description of %s", resource, c.Name)
			}
		}
	}
}
