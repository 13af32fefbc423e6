package table_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/edgehub/table"
)

// now is the time of all tests; ten minutes after created.
var now = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

// object is JSON of one that was created ten minutes ago, with more fields and more metadata.
func object(fields string, metadata ...string) string {
	all := append([]string{`"name":"x"`, `"creationTimestamp":"2026-07-01T11:50:00Z"`}, metadata...)
	if fields != "" {
		fields = "," + fields
	}
	return `{"metadata":{` + strings.Join(all, ",") + `}` + fields + `}`
}

// resource is a group, version and resource.
type resource [3]string

func (r resource) table() *table.Table { return table.Of(r[0], r[1], r[2]) }

var (
	pods     = resource{"", "v1", "pods"}
	nodes    = resource{"", "v1", "nodes"}
	services = resource{"", "v1", "services"}
)

func row(t *testing.T, r resource, body string) metav1.TableRow {
	t.Helper()
	row, err := r.table().Row([]byte(body), now)
	if err != nil {
		t.Fatal(err)
	}
	if len(row.Cells) != len(r.table().Columns()) {
		t.Errorf("%d cells in %d columns", len(row.Cells), len(r.table().Columns()))
	}
	return row
}

// cells are those of named columns, or else all.
func cells(t *testing.T, r resource, body string, columns ...string) []any {
	t.Helper()
	all := row(t, r, body).Cells
	if len(columns) == 0 {
		return all
	}
	var named []any
	for _, name := range columns {
		at := slices.IndexFunc(r.table().Columns(), func(c metav1.TableColumnDefinition) bool { return c.Name == name })
		if at < 0 {
			t.Fatalf("no column %s", name)
		}
		named = append(named, all[at])
	}
	return named
}

const terminated = `"lastState":{"terminated":{"exitCode":1,"finishedAt":"2026-07-01T11:55:00Z"}}`

func TestPods(t *testing.T) {
	const (
		one   = `"spec":{"containers":[{"name":"a"}]},`
		two   = `"spec":{"containers":[{"name":"a"},{"name":"b"}]},`
		inits = `"spec":{"initContainers":[{"name":"i"},{"name":"j"}],"containers":[{"name":"a"}]},`
		cars  = `"spec":{"initContainers":[{"name":"i"},{"name":"car","restartPolicy":"Always"}],"containers":[{"name":"a"}]},`

		runs = `"ready":true,"state":{"running":{}}`
		done = `"state":{"terminated":{"exitCode":0,"reason":"Completed"}}`

		deleted = `"deletionTimestamp":"2026-07-01T11:59:00Z"`
	)
	for name, test := range map[string]struct {
		body string
		want []any // Ready, Status, Restarts
	}{
		"all containers run":              {object(one + `"status":{"phase":"Running","containerStatuses":[{"name":"a",` + runs + `}]}`), []any{"1/1", "Running", "0"}},
		"nothing is known of it":          {object(two + `"status":{"phase":"Pending"}`), []any{"0/2", "Pending", "0"}},
		"kubelet says why":                {object(one + `"status":{"phase":"Failed","reason":"Evicted"}`), []any{"0/1", "Evicted", "0"}},
		"gates hold it":                   {object(one + `"status":{"phase":"Pending","conditions":[{"type":"PodScheduled","status":"False","reason":"SchedulingGated"}]}`), []any{"0/1", "SchedulingGated", "0"}},
		"a container waits for a reason":  {object(two + `"status":{"phase":"Running","containerStatuses":[{"name":"a","restartCount":3,"state":{"waiting":{"reason":"CrashLoopBackOff"}},` + terminated + `},{"name":"b",` + runs + `}]}`), []any{"1/2", "CrashLoopBackOff", "3 (5m ago)"}},
		"the first that waits is said":    {object(two + `"status":{"phase":"Pending","containerStatuses":[{"name":"a","state":{"waiting":{"reason":"ErrImagePull"}}},{"name":"b","state":{"waiting":{"reason":"ContainerCreating"}}}]}`), []any{"0/2", "ErrImagePull", "0"}},
		"when it restarted is not known":  {object(one + `"status":{"phase":"Running","containerStatuses":[{"name":"a","restartCount":2,` + runs + `}]}`), []any{"1/1", "Running", "2"}},
		"the last restart of all is said": {object(two + `"status":{"phase":"Running","containerStatuses":[{"name":"a","restartCount":1,` + runs + `,` + terminated + `},{"name":"b","restartCount":1,` + runs + `,"lastState":{"terminated":{"exitCode":1,"finishedAt":"2026-07-01T11:57:00Z"}}}]}`), []any{"2/2", "Running", "2 (3m ago)"}},
		"it has completed":                {object(one + `"status":{"phase":"Succeeded","containerStatuses":[{"name":"a",` + done + `}]}`), []any{"0/1", "Completed", "0"}},
		"one has completed, one runs":     {object(two + `"status":{"phase":"Running","containerStatuses":[{"name":"a",` + done + `},{"name":"b",` + runs + `}],"conditions":[{"type":"Ready","status":"True"}]}`), []any{"1/2", "Running", "0"}},
		"one has completed, not ready":    {object(two + `"status":{"phase":"Running","containerStatuses":[{"name":"a",` + done + `},{"name":"b",` + runs + `}],"conditions":[{"type":"Ready","status":"False"}]}`), []any{"1/2", "NotReady", "0"}},
		"one has completed, one failed":   {object(two + `"status":{"phase":"Failed","containerStatuses":[{"name":"a",` + done + `},{"name":"b","state":{"terminated":{"exitCode":1,"reason":"Error"}}}]}`), []any{"0/2", "Error", "0"}},
		"it ended with a code":            {object(one + `"status":{"phase":"Failed","containerStatuses":[{"name":"a","state":{"terminated":{"exitCode":3}}}]}`), []any{"0/1", "ExitCode:3", "0"}},
		"it ended with a signal":          {object(one + `"status":{"phase":"Failed","containerStatuses":[{"name":"a","state":{"terminated":{"exitCode":137,"signal":9}}}]}`), []any{"0/1", "Signal:9", "0"}},

		"init containers are under way":        {object(inits + `"status":{"phase":"Pending","initContainerStatuses":[{"name":"i",` + done + `},{"name":"j","state":{"running":{}}}],"containerStatuses":[{"name":"a","state":{"waiting":{"reason":"PodInitializing"}}}]}`), []any{"0/1", "Init:1/2", "0"}},
		"an init container waits":              {object(inits + `"status":{"phase":"Pending","initContainerStatuses":[{"name":"i","restartCount":4,"state":{"waiting":{"reason":"CrashLoopBackOff"}},` + terminated + `},{"name":"j","restartCount":7,"state":{"waiting":{"reason":"PodInitializing"}}}]}`), []any{"0/1", "Init:CrashLoopBackOff", "4 (5m ago)"}},
		"an init container waits for its turn": {object(inits + `"status":{"phase":"Pending","initContainerStatuses":[{"name":"i","state":{"waiting":{"reason":"PodInitializing"}}}]}`), []any{"0/1", "Init:0/2", "0"}},
		"an init container failed":             {object(inits + `"status":{"phase":"Pending","initContainerStatuses":[{"name":"i","state":{"terminated":{"exitCode":2,"reason":"Error"}}}]}`), []any{"0/1", "Init:Error", "0"}},
		"an init container failed with a code": {object(inits + `"status":{"phase":"Pending","initContainerStatuses":[{"name":"i","state":{"terminated":{"exitCode":2}}}]}`), []any{"0/1", "Init:ExitCode:2", "0"}},
		"an init container was killed":         {object(inits + `"status":{"phase":"Pending","initContainerStatuses":[{"name":"i","state":{"terminated":{"exitCode":137,"signal":9}}}]}`), []any{"0/1", "Init:Signal:9", "0"}},
		"restarts of init containers pass":     {object(inits + `"status":{"phase":"Running","initContainerStatuses":[{"name":"i","restartCount":4,` + done + `,` + terminated + `},{"name":"j",` + done + `}],"containerStatuses":[{"name":"a",` + runs + `}]}`), []any{"1/1", "Running", "0"}},

		"a sidecar counts":                        {object(cars + `"status":{"phase":"Running","initContainerStatuses":[{"name":"i","restartCount":4,` + done + `},{"name":"car","started":true,"restartCount":2,` + runs + `,` + terminated + `}],"containerStatuses":[{"name":"a","restartCount":1,` + runs + `}]}`), []any{"2/2", "Running", "3 (5m ago)"}},
		"a sidecar is not ready":                  {object(cars + `"status":{"phase":"Running","initContainerStatuses":[{"name":"i",` + done + `},{"name":"car","started":true,"state":{"running":{}}}],"containerStatuses":[{"name":"a",` + runs + `}]}`), []any{"1/2", "Running", "0"}},
		"a sidecar has not started":               {object(cars + `"status":{"phase":"Pending","initContainerStatuses":[{"name":"i",` + done + `},{"name":"car","started":false,"state":{"running":{}}}]}`), []any{"0/2", "Init:1/2", "0"}},
		"a sidecar starts anew in a pod that ran": {object(cars + `"status":{"phase":"Running","initContainerStatuses":[{"name":"i","restartCount":4,` + done + `},{"name":"car","restartCount":2,"state":{"waiting":{"reason":"CrashLoopBackOff"}}}],"containerStatuses":[{"name":"a","restartCount":1,` + runs + `}],"conditions":[{"type":"Initialized","status":"True"}]}`), []any{"1/2", "Init:CrashLoopBackOff", "3"}},

		"it is on its way out":           {object(one+`"status":{"phase":"Running","containerStatuses":[{"name":"a",`+runs+`}]}`, deleted), []any{"1/1", "Terminating", "0"}},
		"it has ended, and is deleted":   {object(one+`"status":{"phase":"Succeeded","containerStatuses":[{"name":"a",`+done+`}]}`, deleted), []any{"0/1", "Completed", "0"}},
		"its node is lost":               {object(one+`"status":{"phase":"Running","reason":"NodeLost","containerStatuses":[{"name":"a",`+runs+`}]}`, deleted), []any{"1/1", "Unknown", "0"}},
		"its node is lost, it is wanted": {object(one + `"status":{"phase":"Running","reason":"NodeLost"}`), []any{"0/1", "NodeLost", "0"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, cells(t, pods, test.body, "Ready", "Status", "Restarts")); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	t.Run("where it is", func(t *testing.T) {
		body := object(`"spec":{"nodeName":"n1","readinessGates":[{"conditionType":"a"},{"conditionType":"b"},{"conditionType":"c"}]},"status":{"podIP":"10.0.0.1","nominatedNodeName":"n2","conditions":[{"type":"a","status":"True"},{"type":"b","status":"False"}]}`)
		want := []any{"x", "0/0", "", "0", "10m", "10.0.0.1", "n1", "n2", "1/3"}
		if diff := cmp.Diff(want, cells(t, pods, body)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		want = []any{"x", "0/0", "", "0", "10m", "<none>", "<none>", "<none>", "<none>"}
		if diff := cmp.Diff(want, cells(t, pods, object(``))); diff != "" {
			t.Errorf("of one that is nowhere, -want +got:\n%s", diff)
		}
	})
	t.Run("that it has ended is a condition", func(t *testing.T) {
		for phase, message := range map[string]string{"Succeeded": "The pod has completed successfully.", "Failed": "The pod failed."} {
			want := []metav1.TableRowCondition{{Type: "Completed", Status: "True", Reason: phase, Message: message}}
			if diff := cmp.Diff(want, row(t, pods, object(`"status":{"phase":"`+phase+`"}`)).Conditions); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		}
		if got := row(t, pods, object(`"status":{"phase":"Running"}`)).Conditions; got != nil {
			t.Errorf("of one that runs: %v", got)
		}
	})
}
