package install

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"

	"sigs.k8s.io/yaml"
)

// rotationKey is what says in kubelet's configuration whether it renews its certificate itself. It does not if nothing is said.
const rotationKey = "rotateCertificates"

// rotationText finds values of the key, in blocks and in JSON. Some of them may be elsewhere than at the top.
var rotationText = regexp.MustCompile(`(?m)(?:^|[{,])\s*["']?` + rotationKey + `["']?[ \t]*:[ \t]*([^\s,#}]+)`)

// rotation says whether a configuration of kubelet has it renew its certificate.
func rotation(text []byte) (bool, error) {
	var config struct {
		Kind               string `json:"kind"`
		RotateCertificates bool   `json:"rotateCertificates"`
	}
	if err := yaml.Unmarshal(text, &config); err != nil || config.Kind != "KubeletConfiguration" {
		return false, errors.New("it is no KubeletConfiguration")
	}
	return config.RotateCertificates, nil
}

// errRotation is that a text is not changed, since it is written in an unusual way.
var errRotation = errors.New("it says " + rotationKey + " in a way that is not changed here: set it to false by hand, and install again")

// withRotation returns a configuration with another value of the key, which has to be there, and not a byte of the rest changed. What comes of it is compared with what is meant.
func withRotation(text []byte, on bool) ([]byte, error) {
	var want map[string]any
	if err := yaml.UnmarshalStrict(text, &want); err != nil {
		return nil, errRotation
	}
	want[rotationKey] = on
	value := "false"
	if on {
		value = "true"
	}
	for _, at := range rotationText.FindAllSubmatchIndex(text, -1) {
		changed := append(append(append([]byte{}, text[:at[2]]...), value...), text[at[3]:]...)
		var got map[string]any
		if yaml.UnmarshalStrict(changed, &got) == nil && reflect.DeepEqual(got, want) {
			return changed, nil
		}
	}
	return nil, errRotation
}

// HoldRotation has a configuration of kubelet leave its certificate to the hub, as install had it, if somebody has changed that since, and if kubelet's kubeconfig is a hub's: else its certificate is its own. kubelet's service has it done
// before each start. It reports whether it had to.
func HoldRotation(path, kubeconfig string) (changed bool, err error) {
	config, err := readText(kubeconfig)
	if err == nil && !config.There {
		err = fmt.Errorf("there is no %s", kubeconfig)
	}
	if err != nil || hubAuthority(config) == nil {
		return false, err
	}
	now, err := readText(path)
	if err != nil || !now.There || !renews(now) {
		return false, err
	}
	text, err := withRotation(now.data, false)
	if err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	return true, (&machine{say: func(string) {}}).write(path, text, now.Mode)
}
