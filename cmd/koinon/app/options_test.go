package app

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

func TestTheWebhookRunsOnlyWhereItIsNamed(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want []string
	}{
		"by default":           {nil, []string{componentAPIServer, componentControllers}},
		"all":                  {[]string{"--components=all"}, []string{componentAPIServer, componentControllers}},
		"all, and the webhook": {[]string{"--components=all,webhook"}, []string{componentAPIServer, componentControllers, componentWebhook}},
		"the webhook alone":    {[]string{"--components=webhook"}, []string{componentWebhook}},
	} {
		t.Run(name, func(t *testing.T) {
			options := NewServerOptions()
			if err := parse(options, test.args...); err != nil {
				t.Fatal(err)
			}
			for _, component := range components {
				if got, want := options.runs(component), slices.Contains(test.want, component); got != want {
					t.Errorf("%s: got %t, want %t", component, got, want)
				}
			}
			api := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
			served := withWebhook(options.newWebhook(), api)
			for _, path := range []string{"/convert", "/validate", "/mutate"} {
				answer := httptest.NewRecorder()
				served.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader("{}")))
				if got, want := answer.Code == http.StatusUnauthorized, !slices.Contains(test.want, componentWebhook); got != want {
					t.Errorf("POST %s: got %d; left to the API server: want %t", path, answer.Code, want)
				}
			}
		})
	}
}

// parse sets options as the command line does.
func parse(options *ServerOptions, args ...string) error {
	flags := options.Flags()
	return flags.FlagSet("server").Parse(args)
}

func TestHostControllersRunWithoutPropagation(t *testing.T) {
	for component, want := range map[string]struct{ host, propagation bool }{
		"all":             {true, true},
		"controllers":     {true, true},
		"hostcontrollers": {true, false},
		"apiserver":       {false, false},
	} {
		o := NewServerOptions()
		o.Components = []string{component}
		if got := o.runsHostControllers(); got != want.host {
			t.Errorf("--components=%s: host controllers run: %v, want %v", component, got, want.host)
		}
		if got := o.runs(componentControllers); got != want.propagation {
			t.Errorf("--components=%s: propagation runs: %v, want %v", component, got, want.propagation)
		}
	}
}
