package table_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/koinon-io/koinon/pkg/edgehub/table"
)

func core(name string) resource { return resource{"", "v1", name} }

func apps(name string) resource { return resource{"apps", "v1", name} }

const template = `"template":{"metadata":{"labels":{"l":"v"}},"spec":{"nodeSelector":{"disk":"ssd"},"containers":[{"name":"a","image":"i:1"},{"name":"b","image":"j"}]}}`

func TestCells(t *testing.T) {
	var (
		batch   = func(name string) resource { return resource{"batch", "v1", name} }
		network = func(name string) resource { return resource{"networking.k8s.io", "v1", name} }
		storage = func(name string) resource { return resource{"storage.k8s.io", "v1", name} }
		rbac    = func(name string) resource { return resource{"rbac.authorization.k8s.io", "v1", name} }
		slices  = resource{"discovery.k8s.io", "v1", "endpointslices"}
		classes = resource{"scheduling.k8s.io", "v1", "priorityclasses"}
		events  = resource{"events.k8s.io", "v1", "events"}
		widgets = resource{"example.org", "v1", "widgets"}
	)
	const selector = `"selector":{"matchLabels":{"l":"v"},"matchExpressions":[{"key":"m","operator":"Exists"}]}`
	for name, test := range map[string]struct {
		resource
		body string
		want []any
	}{
		"a node": {nodes, object(`"status":{"conditions":[{"type":"MemoryPressure","status":"False"},{"type":"Ready","status":"True"}],
			"addresses":[{"type":"Hostname","address":"h"},{"type":"InternalIP","address":"10.0.0.1"},{"type":"InternalIP","address":"fd00::1"},{"type":"ExternalIP","address":"192.0.2.1"}],
			"nodeInfo":{"kubeletVersion":"v1.36.3","osImage":"Debian","kernelVersion":"6.1","architecture":"arm64","containerRuntimeVersion":"containerd://2.0"}}`,
			`"labels":{"node-role.kubernetes.io/worker":"","node-role.kubernetes.io/edge":"x","node-role.kubernetes.io/":"","kubernetes.io/role":"old"}`),
			[]any{"x", "Ready", "edge,old,worker", "10m", "v1.36.3", "10.0.0.1", "192.0.2.1", "Debian", "6.1 (arm64)", "containerd://2.0"}},
		"a node that is cordoned":      {nodes, object(`"spec":{"unschedulable":true},"status":{"conditions":[{"type":"Ready","status":"True"}]}`), []any{"x", "Ready,SchedulingDisabled", "<none>", "10m", "", "<none>", "<none>", "<unknown>", "<unknown>", "<unknown>"}},
		"a node that is not ready":     {nodes, object(`"status":{"conditions":[{"type":"Ready","status":"Unknown"}]}`), []any{"x", "NotReady", "<none>", "10m", "", "<none>", "<none>", "<unknown>", "<unknown>", "<unknown>"}},
		"a node that has said nothing": {nodes, object(`"spec":{"unschedulable":true}`), []any{"x", "Unknown,SchedulingDisabled", "<none>", "10m", "", "<none>", "<none>", "<unknown>", "<unknown>", "<unknown>"}},

		"a service": {services, object(`"spec":{"type":"ClusterIP","clusterIPs":["10.0.0.1","fd00::1"],"ports":[{"port":80,"protocol":"TCP"},{"port":53,"protocol":"UDP"}],"selector":{"b":"2","a":"1"}}`),
			[]any{"x", "ClusterIP", "10.0.0.1", "<none>", "80/TCP,53/UDP", "10m", "a=1,b=2"}},
		"a headless service":                {services, object(`"spec":{"type":"ClusterIP","clusterIPs":["None"]}`), []any{"x", "ClusterIP", "None", "<none>", "<none>", "10m", "<none>"}},
		"a service elsewhere":               {services, object(`"spec":{"type":"ExternalName","externalName":"example.org"}`), []any{"x", "ExternalName", "<none>", "example.org", "<none>", "10m", "<none>"}},
		"a service on nodes":                {services, object(`"spec":{"type":"NodePort","clusterIPs":["10.0.0.1"],"externalIPs":["192.0.2.1","192.0.2.2"],"ports":[{"port":80,"nodePort":30080,"protocol":"TCP"}]}`), []any{"x", "NodePort", "10.0.0.1", "192.0.2.1,192.0.2.2", "80:30080/TCP", "10m", "<none>"}},
		"a service without a balancer yet":  {services, object(`"spec":{"type":"LoadBalancer","clusterIPs":["10.0.0.1"]}`), []any{"x", "LoadBalancer", "10.0.0.1", "<pending>", "<none>", "10m", "<none>"}},
		"a service with balancers":          {services, object(`"spec":{"type":"LoadBalancer","externalIPs":["192.0.2.9"]},"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.2"},{"hostname":"lb.example.org"},{"ip":"192.0.2.1","hostname":"h"},{"ip":"192.0.2.2"},{}]}}`), []any{"x", "LoadBalancer", "<none>", "192.0.2.1,192.0.2.2,lb.example.org,192.0.2.9", "<none>", "10m", "<none>"}},
		"a service with its own address":    {services, object(`"spec":{"type":"LoadBalancer","externalIPs":["192.0.2.9"]}`), []any{"x", "LoadBalancer", "<none>", "192.0.2.9", "<none>", "10m", "<none>"}},
		"a service of a type from nowhere":  {services, object(`"spec":{"type":"Other"}`), []any{"x", "Other", "<none>", "<unknown>", "<none>", "10m", "<none>"}},
		"endpoints":                         {core("endpoints"), object(`"subsets":[{"addresses":[{"ip":"10.0.0.1"},{"ip":"fd00::1"}],"ports":[{"port":80},{"port":443}]},{"addresses":[{"ip":"10.0.0.2"}]}]`), []any{"x", "10.0.0.1:80,[fd00::1]:80,10.0.0.1:443 + 2 more...", "10m"}},
		"endpoints without ports":           {core("endpoints"), object(`"subsets":[{"addresses":[{"ip":"10.0.0.1"},{"ip":"10.0.0.2"},{"ip":"10.0.0.3"}]}]`), []any{"x", "10.0.0.1,10.0.0.2,10.0.0.3", "10m"}},
		"endpoints of which none is ready":  {core("endpoints"), object(`"subsets":[{"notReadyAddresses":[{"ip":"10.0.0.1"}],"ports":[{"port":80}]}]`), []any{"x", "", "10m"}},
		"endpoints of nothing":              {core("endpoints"), object(``), []any{"x", "<none>", "10m"}},
		"an endpoint slice":                 {slices, object(`"addressType":"IPv4","ports":[{"port":80},{"name":"all"},{}],"endpoints":[{"addresses":["10.0.0.1","10.0.0.2"]},{"addresses":["10.0.0.3"]},{"addresses":["10.0.0.4"]}]`), []any{"x", "IPv4", "80,all,*", "10.0.0.1,10.0.0.2,10.0.0.3 + 1 more...", "10m"}},
		"an endpoint slice of nothing":      {slices, object(`"addressType":"FQDN"`), []any{"x", "FQDN", "<unset>", "<unset>", "10m"}},
		"an endpoint slice without numbers": {slices, object(`"addressType":"IPv4","ports":[{"name":""}]`), []any{"x", "IPv4", "<unset>", "<unset>", "10m"}},

		"a namespace":         {core("namespaces"), object(`"status":{"phase":"Terminating"}`), []any{"x", "Terminating", "10m"}},
		"a config map":        {core("configmaps"), object(`"data":{"a":"1","b":"2"},"binaryData":{"c":"AA=="}`), []any{"x", int64(3), "10m"}},
		"a secret":            {core("secrets"), object(`"type":"Opaque","data":{"a":"AA==","b":""}`), []any{"x", "Opaque", int64(2), "10m"}},
		"an account":          {core("serviceaccounts"), object(``), []any{"x", "10m"}},
		"a pod template":      {core("podtemplates"), object(template), []any{"x", "a,b", "i:1,j", "l=v"}},
		"limits":              {core("limitranges"), object(``), []any{"x", "2026-07-01T11:50:00Z"}},
		"a quota":             {core("resourcequotas"), object(`"status":{"hard":{"pods":"10","limits.cpu":"4","requests.cpu":"1500m","limits.memory":"1Gi"},"used":{"pods":"3","limits.cpu":"500m","requests.cpu":"0"}}`), []any{"x", "pods: 3/10, requests.cpu: 0/1500m", "limits.cpu: 500m/4, limits.memory: 0/1Gi", "10m"}},
		"one that is counted": {core("replicationcontrollers"), object(`"spec":{"replicas":3,"selector":{"l":"v"},` + template + `},"status":{"replicas":2,"readyReplicas":1}`), []any{"x", int64(3), int64(2), int64(1), "10m", "a,b", "i:1,j", "l=v"}},

		"a volume": {core("persistentvolumes"), object(`"spec":{"capacity":{"storage":"10Gi"},"accessModes":["ReadWriteOncePod","ReadWriteMany","ReadOnlyMany","ReadWriteOnce","ReadWriteOnce"],"persistentVolumeReclaimPolicy":"Retain","storageClassName":"fast",
			"claimRef":{"namespace":"ns","name":"c"},"volumeMode":"Block","volumeAttributesClassName":"gold"},"status":{"phase":"Bound","reason":"r"}`), []any{"x", "10Gi", "RWO,ROX,RWX,RWOP", "Retain", "Bound", "ns/c", "fast", "gold", "r", "10m", "Block"}},
		"a volume of old, that goes": {core("persistentvolumes"), object(`"spec":{"storageClassName":"fast"},"status":{"phase":"Released"}`, `"deletionTimestamp":"2026-07-01T11:59:00Z"`, `"annotations":{"volume.beta.kubernetes.io/storage-class":"old"}`), []any{"x", "0", "", "", "Terminating", "", "old", "<unset>", "", "10m", "<unset>"}},
		"a claim that is bound":      {core("persistentvolumeclaims"), object(`"spec":{"volumeName":"v","storageClassName":"fast","volumeMode":"Filesystem","volumeAttributesClassName":"gold"},"status":{"phase":"Bound","accessModes":["ReadWriteOnce"],"capacity":{"storage":"1Gi"}}`), []any{"x", "Bound", "v", "1Gi", "RWO", "fast", "gold", "10m", "Filesystem"}},
		"a claim that waits":         {core("persistentvolumeclaims"), object(`"spec":{"resources":{"requests":{"storage":"1Gi"}}},"status":{"phase":"Pending","accessModes":["ReadWriteOnce"]}`), []any{"x", "Pending", "", "", "", "", "<unset>", "10m", "<unset>"}},

		"an event that happens again": {core("events"), object(`"type":"Warning","reason":"BackOff","involvedObject":{"kind":"Pod","name":"p","fieldPath":"spec.containers{a}"},"source":{"component":"kubelet","host":"n1"},"message":" m\n","firstTimestamp":"2026-07-01T11:00:00Z","lastTimestamp":"2026-07-01T11:58:00Z","count":7`),
			[]any{"2m", "Warning", "BackOff", "pod/p", "spec.containers{a}", "kubelet, n1", "m", "60m", int64(7), "x"}},
		"an event of a series": {core("events"), object(`"type":"Normal","involvedObject":{"kind":"Node"},"reportingComponent":"c","reportingInstance":"i","eventTime":"2026-07-01T11:00:00.000000Z","series":{"count":3,"lastObservedTime":"2026-07-01T11:59:00.000000Z"}`),
			[]any{"60s", "Normal", "", "node", "", "c, i", "", "60m", int64(3), "x"}},
		"an event of no time": {core("events"), object(`"source":{"component":"c"}`), []any{"<unknown>", "", "", "", "", "c", "", "<unknown>", int64(1), "x"}},
		"an event of the new API": {events, object(`"type":"Normal","reason":"r","note":"n","regarding":{"kind":"Pod","name":"p"},"reportingController":"c","eventTime":"2026-07-01T11:58:00.000000Z"`),
			[]any{"2m", "Normal", "r", "pod/p", "", "c", "n", "2m", int64(1), "x"}},
		"an event of the new API in a series": {events, object(`"eventTime":"2026-07-01T11:00:00.000000Z","series":{"count":3,"lastObservedTime":"2026-07-01T11:59:00.000000Z"}`), []any{"60s", "", "", "", "", "", "", "60m", int64(3), "x"}},
		"an old event in the new API": {events, object(`"deprecatedSource":{"component":"kubelet","host":"n1"},"deprecatedFirstTimestamp":"2026-07-01T11:00:00Z","deprecatedLastTimestamp":"2026-07-01T11:58:00Z","deprecatedCount":7`),
			[]any{"2m", "", "", "", "", "kubelet, n1", "", "60m", int64(7), "x"}},

		"a deployment":                    {apps("deployments"), object(`"spec":{"replicas":3,` + selector + `,` + template + `},"status":{"readyReplicas":2,"updatedReplicas":3,"availableReplicas":1}`), []any{"x", "2/3", int64(3), int64(1), "10m", "a,b", "i:1,j", "l=v,m"}},
		"a deployment that selects badly": {apps("deployments"), object(`"spec":{"selector":{"matchExpressions":[{"key":"m","operator":"No"}]}}`), []any{"x", "0/0", int64(0), int64(0), "10m", "", "", "<invalid>"}},
		"a daemon set":                    {apps("daemonsets"), object(`"spec":{` + selector + `,` + template + `},"status":{"desiredNumberScheduled":5,"currentNumberScheduled":4,"numberReady":3,"updatedNumberScheduled":2,"numberAvailable":1}`), []any{"x", int64(5), int64(4), int64(3), int64(2), int64(1), "disk=ssd", "10m", "a,b", "i:1,j", "l=v,m"}},
		"a replica set":                   {apps("replicasets"), object(`"spec":{"replicas":3,` + selector + `,` + template + `},"status":{"replicas":2,"readyReplicas":1}`), []any{"x", int64(3), int64(2), int64(1), "10m", "a,b", "i:1,j", "l=v,m"}},
		"a stateful set":                  {apps("statefulsets"), object(`"spec":{"replicas":3,` + template + `},"status":{"readyReplicas":1}`), []any{"x", "1/3", "10m", "a,b", "i:1,j"}},
		"a revision":                      {apps("controllerrevisions"), object(`"revision":3`, `"ownerReferences":[{"apiVersion":"v1","kind":"Other","name":"o"},{"apiVersion":"apps/v1","kind":"DaemonSet","name":"d","controller":true}]`), []any{"x", "daemonset.apps/d", int64(3), "10m"}},
		"a revision of nobody":            {apps("controllerrevisions"), object(`"revision":1`), []any{"x", "<none>", int64(1), "10m"}},

		"a job that runs":                 {batch("jobs"), object(`"spec":{"parallelism":2,"completions":5,` + selector + `,` + template + `},"status":{"succeeded":1,"startTime":"2026-07-01T11:58:00Z"}`), []any{"x", "Running", "1/5", "2m", "10m", "a,b", "i:1,j", "l=v,m"}},
		"a job that is complete":          {batch("jobs"), object(`"spec":{"parallelism":1},"status":{"succeeded":1,"startTime":"2026-07-01T11:50:00Z","completionTime":"2026-07-01T11:50:42Z","conditions":[{"type":"SuccessCriteriaMet","status":"True"},{"type":"Complete","status":"True"}]}`), []any{"x", "Complete", "1/1", "42s", "10m", "", "", "<none>"}},
		"a job of which any will do":      {batch("jobs"), object(`"spec":{"parallelism":3},"status":{"conditions":[{"type":"Failed","status":"True"}]}`, `"deletionTimestamp":"2026-07-01T11:59:00Z"`), []any{"x", "Failed", "0/1 of 3", "", "10m", "", "", "<none>"}},
		"a job that goes":                 {batch("jobs"), object(`"status":{"conditions":[{"type":"Suspended","status":"True"}]}`, `"deletionTimestamp":"2026-07-01T11:59:00Z"`), []any{"x", "Terminating", "0/1", "", "10m", "", "", "<none>"}},
		"a job that is suspended":         {batch("jobs"), object(`"status":{"conditions":[{"type":"Failed","status":"False"},{"type":"Suspended","status":"True"}]}`), []any{"x", "Suspended", "0/1", "", "10m", "", "", "<none>"}},
		"a job that is about to fail":     {batch("jobs"), object(`"status":{"conditions":[{"type":"FailureTarget","status":"True"}]}`), []any{"x", "FailureTarget", "0/1", "", "10m", "", "", "<none>"}},
		"a job that is about to complete": {batch("jobs"), object(`"status":{"conditions":[{"type":"SuccessCriteriaMet","status":"True"}]}`), []any{"x", "SuccessCriteriaMet", "0/1", "", "10m", "", "", "<none>"}},
		"a cron job":                      {batch("cronjobs"), object(`"spec":{"schedule":"* * * * *","timeZone":"Etc/UTC","suspend":true,"jobTemplate":{"spec":{` + template + `}}},"status":{"active":[{"name":"a"},{"name":"b"}],"lastScheduleTime":"2026-07-01T11:59:00Z"}`), []any{"x", "* * * * *", "Etc/UTC", "True", int64(2), "60s", "10m", "a,b", "i:1,j", "<none>"}},
		"a cron job that never ran":       {batch("cronjobs"), object(`"spec":{"schedule":"@daily","suspend":false}`), []any{"x", "@daily", "<none>", "False", int64(0), "<none>", "10m", "", "", "<none>"}},
		"a cron job that does not say":    {batch("cronjobs"), object(``), []any{"x", "", "<none>", "<unset>", int64(0), "<none>", "10m", "", "", "<none>"}},

		"an ingress":                       {network("ingresses"), object(`"spec":{"ingressClassName":"c","tls":[{}],"rules":[{"host":"a"},{},{"host":"b"},{"host":"c"},{},{"host":"d"}]},"status":{"loadBalancer":{"ingress":[{"hostname":"h"},{"ip":"192.0.2.1"}]}}`), []any{"x", "c", "a,b,c + 3 more...", "192.0.2.1,h", "80, 443", "10m"}},
		"an ingress for all":               {network("ingresses"), object(`"spec":{"rules":[{}]}`), []any{"x", "<none>", "*", "", "80", "10m"}},
		"a class of ingresses":             {network("ingressclasses"), object(`"spec":{"controller":"c","parameters":{"apiGroup":"g","kind":"K","name":"n"}}`, `"annotations":{"ingressclass.kubernetes.io/is-default-class":"true"}`), []any{"x (default)", "c", "K.g/n", "10m"}},
		"a class of ingresses, core":       {network("ingressclasses"), object(`"spec":{"parameters":{"kind":"ConfigMap","name":"n"}}`), []any{"x", "", "ConfigMap/n", "10m"}},
		"a class of ingresses by itself":   {network("ingressclasses"), object(``), []any{"x", "", "<none>", "10m"}},
		"a network policy":                 {network("networkpolicies"), object(`"spec":{"podSelector":{"matchLabels":{"l":"v"}}}`), []any{"x", "l=v", "10m"}},
		"a network policy for all":         {network("networkpolicies"), object(`"spec":{"podSelector":{}}`), []any{"x", "<none>", "10m"}},
		"networks of services":             {network("servicecidrs"), object(`"spec":{"cidrs":["10.0.0.0/24","fd00::/112"]}`), []any{"x", "10.0.0.0/24,fd00::/112", "10m"}},
		"a storage class":                  {storage("storageclasses"), object(`"provisioner":"p","reclaimPolicy":"Retain","volumeBindingMode":"WaitForFirstConsumer","allowVolumeExpansion":true`, `"annotations":{"storageclass.beta.kubernetes.io/is-default-class":"true"}`), []any{"x (default)", "p", "Retain", "WaitForFirstConsumer", true, "10m"}},
		"a storage class that says less":   {storage("storageclasses"), object(`"provisioner":"p"`, `"annotations":{"storageclass.kubernetes.io/is-default-class":"false"}`), []any{"x", "p", "Delete", "Immediate", false, "10m"}},
		"a class of attributes":            {storage("volumeattributesclasses"), object(`"driverName":"d"`), []any{"x", "d", "10m"}},
		"an attachment":                    {storage("volumeattachments"), object(`"spec":{"attacher":"a","nodeName":"n","source":{"persistentVolumeName":"v"}},"status":{"attached":true}`), []any{"x", "a", "v", "n", true, "10m"}},
		"drivers of a node":                {storage("csinodes"), object(`"spec":{"drivers":[{"name":"a"},{"name":"b"}]}`), []any{"x", int64(2), "10m"}},
		"a driver":                         {storage("csidrivers"), object(`"spec":{"attachRequired":false,"podInfoOnMount":true,"storageCapacity":true,"tokenRequests":[{"audience":"a"},{"audience":"b"}],"requiresRepublish":true,"volumeLifecycleModes":["Persistent","Ephemeral"]}`), []any{"x", false, true, true, "a,b", true, "Persistent,Ephemeral", "10m"}},
		"a driver that says nothing":       {storage("csidrivers"), object(`"spec":{}`), []any{"x", true, false, false, "<unset>", false, "<none>", "10m"}},
		"a capacity":                       {storage("csistoragecapacities"), object(``), []any{"x", "2026-07-01T11:50:00Z"}},
		"a role":                           {rbac("roles"), object(``), []any{"x", "2026-07-01T11:50:00Z"}},
		"a role of the cluster":            {rbac("clusterroles"), object(``), []any{"x", "2026-07-01T11:50:00Z"}},
		"a binding":                        {rbac("rolebindings"), object(`"roleRef":{"kind":"ClusterRole","name":"view"},"subjects":[{"kind":"User","name":"u"},{"kind":"Group","name":"g"},{"kind":"ServiceAccount","namespace":"ns","name":"a"},{"kind":"User","name":"v"}]`), []any{"x", "ClusterRole/view", "10m", "u, v", "g", "ns/a"}},
		"a binding of the cluster":         {rbac("clusterrolebindings"), object(`"roleRef":{"kind":"ClusterRole","name":"view"}`), []any{"x", "ClusterRole/view", "10m", "", "", ""}},
		"a lease":                          {resource{"coordination.k8s.io", "v1", "leases"}, object(`"spec":{"holderIdentity":"h"}`), []any{"x", "h", "10m"}},
		"a runtime class":                  {resource{"node.k8s.io", "v1", "runtimeclasses"}, object(`"handler":"h"`), []any{"x", "h", "10m"}},
		"a priority":                       {classes, object(`"value":-5,"globalDefault":true,"preemptionPolicy":"Never"`), []any{"x", int64(-5), true, "10m", "Never"}},
		"a definition":                     {resource{"apiextensions.k8s.io", "v1", "customresourcedefinitions"}, object(``), []any{"x", "2026-07-01T11:50:00Z"}},
		"a custom resource":                {widgets, object(`"spec":{"size":1}`), []any{"x", "10m"}},
		"a custom resource without a time": {widgets, `{"metadata":{"name":"x"}}`, []any{"x", nil}},
		"an object without a time":         {core("serviceaccounts"), `{"metadata":{"name":"x"}}`, []any{"x", "<unknown>"}},
		"an object that says its kind":     {core("serviceaccounts"), `{"kind":"ServiceAccount","apiVersion":"v1","metadata":{"name":"x"}}`, []any{"x", "<unknown>"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, cells(t, test.resource, test.body)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestColumns(t *testing.T) {
	names := func(r resource) (names, wide []string) {
		for _, c := range r.table().Columns() {
			if c.Description == "" || c.Type == "" {
				t.Errorf("%s: a column %s without a description, or a type", r, c.Name)
			}
			if c.Priority == 0 {
				names = append(names, c.Name)
			} else {
				wide = append(wide, c.Name)
			}
		}
		return names, wide
	}
	for _, test := range []struct {
		resource
		names, wide string
	}{
		{pods, "[Name Ready Status Restarts Age]", "[IP Node Nominated Node Readiness Gates]"},
		{nodes, "[Name Status Roles Age Version]", "[Internal-IP External-IP OS-Image Kernel-Version Container-Runtime]"},
		{core("events"), "[Last Seen Type Reason Object Message]", "[Subobject Source First Seen Count Name]"},
		{resource{"events.k8s.io", "v1", "events"}, "[Last Seen Type Reason Object Message]", "[Subobject Source First Seen Count Name]"},
		{apps("deployments"), "[Name Ready Up-to-date Available Age]", "[Containers Images Selector]"},
		{core("podtemplates"), "[Name Containers Images Pod Labels]", "[]"},
		{core("limitranges"), "[Name Created At]", "[]"},
		{resource{"example.org", "v1", "pods"}, "[Name Age]", "[]"},
		{resource{"", "v2", "pods"}, "[Name Age]", "[]"},
	} {
		if names, wide := names(test.resource); fmt.Sprint(names) != test.names || fmt.Sprint(wide) != test.wide {
			t.Errorf("%s: %v and with -o wide %v, want %s and %s", test.resource, names, wide, test.names, test.wide)
		}
	}
}

// Columns are the caller's: who changes them changes nobody else's.
func TestColumnsAreOnesOwn(t *testing.T) {
	pods.table().Columns()[0].Name = "Other"
	if got := pods.table().Columns()[0].Name; got != "Name" {
		t.Errorf("the first column is %s", got)
	}
}

func TestWhatIsNoObjectOfTheResource(t *testing.T) {
	for name, test := range map[string]struct {
		resource
		body string
	}{
		"nothing":               {pods, ``},
		"null":                  {pods, `null`},
		"a list":                {pods, `[]`},
		"half an object":        {pods, `{"metadata":{"name":"x"},`},
		"two objects":           {pods, `{"metadata":{"name":"x"}}{}`},
		"one without a name":    {pods, `{"metadata":{}}`},
		"another type":          {pods, object(`"status":{"containerStatuses":{}}`)},
		"a number for a text":   {pods, object(`"status":{"phase":1}`)},
		"a time that is none":   {pods, `{"metadata":{"name":"x","creationTimestamp":"yesterday"}}`},
		"another kind":          {pods, `{"kind":"Node","apiVersion":"v1","metadata":{"name":"x"}}`},
		"another group":         {core("events"), `{"kind":"Event","apiVersion":"events.k8s.io/v1","metadata":{"name":"x"}}`},
		"a failure":             {pods, `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure"}`},
		"a custom resource":     {resource{"example.org", "v1", "widgets"}, `{"metadata":{"name":1}}`},
		"another custom group":  {resource{"example.org", "v1", "widgets"}, `{"kind":"Widget","apiVersion":"example.com/v1","metadata":{"name":"x"}}`},
		"a secret that is none": {core("secrets"), object(`"data":{"a":"%"}`)},
	} {
		t.Run(name, func(t *testing.T) {
			if row, err := test.table().Row([]byte(test.body), now); err == nil || row.Cells != nil {
				t.Errorf("cells %v, error %v", row.Cells, err)
			}
		})
	}
}

func BenchmarkPod(b *testing.B) {
	body := []byte(object(`"spec":{"nodeName":"n","containers":[{"name":"a","image":"i"}]},"status":{"phase":"Running","podIP":"10.0.0.1","containerStatuses":[{"name":"a","ready":true,"state":{"running":{}}}]}`))
	pods := table.Of("", "v1", "pods")
	for b.Loop() {
		if _, err := pods.Row(body, now); err != nil {
			b.Fatal(err)
		}
	}
}
