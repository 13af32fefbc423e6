package install

import (
	"testing"
)

func TestOneValueOfKubeletsConfigurationIsChangedAndChangedBackByteForByte(t *testing.T) {
	for what, test := range map[string]struct{ before, after string }{
		"kubeadm's":                     {"apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nrotateCertificates: true\nruntimeRequestTimeout: 0s\n", "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nrotateCertificates: false\nruntimeRequestTimeout: 0s\n"},
		"with a comment and no newline": {"kind: KubeletConfiguration\n# rotateCertificates: true\nrotateCertificates: true # renew", "kind: KubeletConfiguration\n# rotateCertificates: true\nrotateCertificates: false # renew"},
		"first, in quotes, with CRLF":   {"\"rotateCertificates\": true\r\nkind: KubeletConfiguration\r\n", "\"rotateCertificates\": false\r\nkind: KubeletConfiguration\r\n"},
		"beside one that is elsewhere":  {"kind: KubeletConfiguration\nregisterWithTaints:\n- {key: a, rotateCertificates: true}\nrotateCertificates:  true\n", "kind: KubeletConfiguration\nregisterWithTaints:\n- {key: a, rotateCertificates: true}\nrotateCertificates:  false\n"},
		"JSON":                          {`{"kind":"KubeletConfiguration","rotateCertificates":true,"maxPods":110}`, `{"kind":"KubeletConfiguration","rotateCertificates":false,"maxPods":110}`},
		"JSON of several lines":         {"{\n  \"rotateCertificates\": true,\n  \"kind\": \"KubeletConfiguration\"\n}\n", "{\n  \"rotateCertificates\": false,\n  \"kind\": \"KubeletConfiguration\"\n}\n"},
	} {
		if on, err := rotation([]byte(test.before)); err != nil || !on {
			t.Errorf("%s: got %v, %v before", what, on, err)
		}
		after, err := withRotation([]byte(test.before), false)
		if err != nil || string(after) != test.after {
			t.Errorf("%s: got %q, %v; want %q", what, after, err, test.after)
			continue
		}
		if back, err := withRotation(after, true); err != nil || string(back) != test.before {
			t.Errorf("%s: got %q, %v back; want %q", what, back, err, test.before)
		}
	}
}

func TestAConfigurationThatSaysNothingDoesNotRenew(t *testing.T) {
	for _, text := range []string{"kind: KubeletConfiguration\n", "kind: KubeletConfiguration\nrotateCertificates: false\n", "{kind: KubeletConfiguration, authentication: {rotateCertificates: true}}"} {
		if on, err := rotation([]byte(text)); err != nil || on {
			t.Errorf("%q: got %v, %v", text, on, err)
		}
	}
}

func TestWhatIsWrittenInAnUnusualWayIsNotChanged(t *testing.T) {
	for what, text := range map[string]string{
		"by reference":       "kind: KubeletConfiguration\nmaxPods: &on true\nrotateCertificates: *on\nfailSwapOn: *on\nx: !!bool &y true",
		"twice":              "kind: KubeletConfiguration\nrotateCertificates: true\nrotateCertificates: true\n",
		"on a line below":    "kind: KubeletConfiguration\nrotateCertificates:\n  true\n",
		"as a complicated ?": "kind: KubeletConfiguration\n? rotateCertificates\n: true\n",
	} {
		if got, err := withRotation([]byte(text), false); err == nil {
			if on, _ := rotation(got); on {
				t.Errorf("%s: got %q", what, got)
			}
		}
	}
	for what, text := range map[string]string{"nothing": "", "a list": "[1]", "something else": "kind: Pod\n", "no YAML": "\t:"} {
		if _, err := rotation([]byte(text)); err == nil {
			t.Errorf("%s: got no error", what)
		}
	}
}
