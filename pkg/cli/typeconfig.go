package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/jsonmergepatch"
	"sigs.k8s.io/yaml"

	"github.com/koinon-io/koinon/pkg/apis/federation/rights"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// enabling is one type that is to be enabled.
type enabling struct {
	// have is its FederatedTypeConfig; nil if there is none. wanted is what it is to be.
	have, wanted *v1beta1.FederatedTypeConfig
	// survey is how members serve the type; nil if they were not asked, or none that was asked has it.
	survey *survey
	// absent says so of a type that is there already.
	absent string
}

// newEnabling finds the type that a word means: one that there is a FederatedTypeConfig of, or else one that members serve.
func newEnabling(h *hub, all []v1beta1.FederatedTypeConfig, members []memberTypes, word, version string) (*enabling, error) {
	have, err := targetNamed(all, word)
	if err != nil {
		return nil, err
	}
	var resource schema.GroupResource
	if have != nil {
		resource = rights.Target(have)
	} else {
		found, err := findType(members, word)
		if err != nil {
			return nil, err
		}
		resource, have = found, typeConfigFor(all, found)
	}
	e := &enabling{have: have}
	if have != nil && version == "" {
		version = have.Spec.TargetType.Version
		s, err := surveyType(members, resource, version)
		if err != nil { // what there is already is not refused
			e.absent = err.Error()
		}
		e.survey = s
		e.wanted = asWritten(have)
		e.wanted.Spec.Propagation = v1beta1.Enabled
		return e, nil
	}
	s, err := surveyType(members, resource, version)
	if err != nil {
		return nil, err
	}
	e.survey = s
	if have != nil {
		e.wanted = asWritten(have)
		e.wanted.Spec.Propagation, e.wanted.Spec.TargetType.Version = v1beta1.Enabled, s.version
		return e, nil
	}
	e.wanted = newTypeConfig(h.system, s)
	return e, freeName(all, e.wanted)
}

// asWritten is a FederatedTypeConfig without what servers and controllers have put there.
func asWritten(have *v1beta1.FederatedTypeConfig) *v1beta1.FederatedTypeConfig {
	return &v1beta1.FederatedTypeConfig{
		TypeMeta:   typeMeta(v1beta1.SchemeGroupVersion.String(), "FederatedTypeConfig"),
		ObjectMeta: metav1.ObjectMeta{Namespace: have.Namespace, Name: have.Name, Labels: have.Labels},
		Spec:       *have.Spec.DeepCopy(),
	}
}

// targetNamed finds the FederatedTypeConfig whose target type a word names; nil if none does. Of several it is the one of exactly that name,
// or else that of the core group, as with findType.
func targetNamed(all []v1beta1.FederatedTypeConfig, word string) (*v1beta1.FederatedTypeConfig, error) {
	word = strings.ToLower(word)
	found := targetsNamed(all, word)
	for _, isMeant := range []func(*v1beta1.FederatedTypeConfig) bool{
		func(c *v1beta1.FederatedTypeConfig) bool { return c.Name == word },
		func(c *v1beta1.FederatedTypeConfig) bool { return rights.Target(c).String() == word },
		func(c *v1beta1.FederatedTypeConfig) bool { return rights.Target(c).Group == "" },
	} {
		if i := slices.IndexFunc(found, isMeant); i >= 0 {
			return found[i], nil
		}
	}
	return onlyOne(word, found, rights.Target)
}

// targetsNamed finds all FederatedTypeConfigs whose target types a word names.
func targetsNamed(all []v1beta1.FederatedTypeConfig, word string) (found []*v1beta1.FederatedTypeConfig) {
	word = strings.ToLower(word)
	for i := range all {
		if all[i].Name == word || isNamed(all[i].Spec.TargetType, word) {
			found = append(found, &all[i])
		}
	}
	return found
}

// typeConfigFor finds the FederatedTypeConfig of a target type; nil if there is none.
func typeConfigFor(all []v1beta1.FederatedTypeConfig, resource schema.GroupResource) *v1beta1.FederatedTypeConfig {
	i := slices.IndexFunc(all, func(c v1beta1.FederatedTypeConfig) bool { return rights.Target(&c) == resource })
	if i < 0 {
		return nil
	}
	return &all[i]
}

// newTypeConfig is that of a type as members serve it. What follows from it the defaults of the API fill in, which name it
// as admission wants it.
func newTypeConfig(system string, s *survey) *v1beta1.FederatedTypeConfig {
	config := &v1beta1.FederatedTypeConfig{
		TypeMeta:   typeMeta(v1beta1.SchemeGroupVersion.String(), "FederatedTypeConfig"),
		ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: s.resource.String()},
		Spec: v1beta1.FederatedTypeConfigSpec{TargetType: v1beta1.APIResource{
			Group: s.resource.Group, Version: s.version, Kind: s.kind, PluralName: s.resource.Resource, Scope: scopeOf(s.namespaced),
		}},
	}
	v1beta1.SetDefaults_FederatedTypeConfig(config)
	return config
}

// freeName refuses a federated kind that is that of another type: it would not be served.
func freeName(all []v1beta1.FederatedTypeConfig, config *v1beta1.FederatedTypeConfig) error {
	mine := config.Spec.FederatedType
	for i := range all {
		other := all[i].Spec.FederatedType
		if other.Group == mine.Group && (other.Kind == mine.Kind || other.PluralName == mine.PluralName) {
			return fmt.Errorf("%s is the federated kind of %s already: give %s another spec.federatedType in a file, and enable it with -f",
				other.Kind, all[i].Name, config.Name)
		}
	}
	return nil
}

// typeConfigOf reads a FederatedTypeConfig of a file.
func typeConfigOf(d document, system string) (*v1beta1.FederatedTypeConfig, error) {
	if d.GetKind() != "FederatedTypeConfig" || d.GetAPIVersion() != v1beta1.SchemeGroupVersion.String() {
		return nil, fmt.Errorf("%s %s %q is no FederatedTypeConfig of %s", d.GetAPIVersion(), d.GetKind(), d.GetName(), v1beta1.SchemeGroupVersion)
	}
	data, err := json.Marshal(d.Object)
	if err != nil {
		return nil, err
	}
	config := &v1beta1.FederatedTypeConfig{}
	if err := yaml.UnmarshalStrict(data, config); err != nil {
		return nil, fmt.Errorf("it is no FederatedTypeConfig: %w", err)
	}
	if config.Name == "" {
		return nil, errors.New("metadata.name: it must be set")
	}
	if config.Namespace != "" && config.Namespace != system {
		return nil, fmt.Errorf("metadata.namespace is %q: a FederatedTypeConfig outside of namespace %q is not used", config.Namespace, system)
	}
	config.Namespace, config.Status = system, v1beta1.FederatedTypeConfigStatus{}
	v1beta1.SetDefaults_FederatedTypeConfig(config)
	if config.Spec.Propagation == v1beta1.Disabled {
		return nil, fmt.Errorf("spec.propagation is Disabled: \"kubectl koinon disable %s\" does that", config.Name)
	}
	return config, nil
}

// remark says what there is to say of the type in members.
func (e *enabling) remark(out io.Writer) {
	if e.absent != "" {
		fmt.Fprintf(out, "Warning: %s\n", e.absent)
	}
	if e.survey != nil {
		for _, said := range e.survey.remarks() {
			fmt.Fprintf(out, "Warning: %s\n", said)
		}
	}
}

// isEnabled is the outcome where nothing was to be done.
const isEnabled = "is enabled already"

// write makes the FederatedTypeConfig, or changes what is to be another in the one that is there.
func (e *enabling) write(ctx context.Context, h *hub, dryRun bool) (config *v1beta1.FederatedTypeConfig, outcome string, warnings []string, err error) {
	if e.have == nil {
		body, err := json.Marshal(e.wanted)
		if err != nil {
			return nil, "", nil, err
		}
		config, warnings, err = writeTypeConfig(ctx, h, sent{verb: http.MethodPost, path: h.typeConfigPath(""), body: body}, dryRun)
		if apierrors.IsNotFound(err) {
			return nil, "", nil, fmt.Errorf("there is no namespace %q for it: --kubefed-namespace says another", h.system)
		}
		return config, "created", warnings, asSentence(err)
	}
	if equality.Semantic.DeepEqual(e.have.Spec, e.wanted.Spec) {
		return e.have, isEnabled, nil, nil
	}
	patch, err := specPatch(&e.have.Spec, &e.wanted.Spec)
	if err != nil {
		return nil, "", nil, err
	}
	outcome = "changed"
	if e.have.Spec.Propagation == v1beta1.Disabled {
		outcome = "enabled"
	}
	config, warnings, err = writeTypeConfig(ctx, h, sent{
		verb: http.MethodPatch, path: h.typeConfigPath(e.have.Name), body: patch, content: string(types.MergePatchType),
	}, dryRun)
	return config, outcome, warnings, asSentence(err)
}

// specPatch is what makes one spec of another: one change, as controllers of KubeFed want it.
func specPatch(have, wanted *v1beta1.FederatedTypeConfigSpec) ([]byte, error) {
	before, err := json.Marshal(map[string]any{"spec": have})
	if err != nil {
		return nil, err
	}
	after, err := json.Marshal(map[string]any{"spec": wanted})
	if err != nil {
		return nil, err
	}
	return jsonmergepatch.CreateThreeWayJSONMergePatch(before, after, before)
}

func (h *hub) typeConfigPath(name string) string {
	return strings.TrimSuffix(kubefedPath+"/namespaces/"+h.system+"/federatedtypeconfigs/"+name, "/")
}

func writeTypeConfig(ctx context.Context, h *hub, s sent, dryRun bool) (*v1beta1.FederatedTypeConfig, []string, error) {
	s.query = writeQuery(dryRun)
	answer, warnings, err := h.do(ctx, s)
	if err != nil {
		return nil, warnings, err
	}
	config := &v1beta1.FederatedTypeConfig{}
	return config, warnings, json.Unmarshal(answer, config)
}

// writeQuery is what all writes of commands say.
func writeQuery(dryRun bool) map[string]string {
	query := map[string]string{"fieldManager": "kubectl-koinon", "fieldValidation": metav1.FieldValidationStrict}
	if dryRun {
		query["dryRun"] = metav1.DryRunAll
	}
	return query
}

// asSentence is an error with what the server says of it.
func asSentence(err error) error {
	if err == nil {
		return nil
	}
	return errors.New(sentence(err))
}

// readTypeConfig reads one as it is now.
func readTypeConfig(ctx context.Context, h *hub, name string) (*v1beta1.FederatedTypeConfig, error) {
	answer, _, err := h.do(ctx, sent{verb: http.MethodGet, path: h.typeConfigPath(name)})
	if err != nil {
		return nil, err
	}
	config := &v1beta1.FederatedTypeConfig{}
	return config, json.Unmarshal(answer, config)
}

// waitServed waits until the federated kind is served. What it returns with errTimeout is as it was seen last.
func waitServed(ctx context.Context, h *hub, config *v1beta1.FederatedTypeConfig, every, limit time.Duration) (*v1beta1.FederatedTypeConfig, error) {
	last := config
	err := poll(ctx, every, limit, func(ctx context.Context) (bool, error) {
		now, err := readTypeConfig(ctx, h, config.Name)
		if err != nil {
			return false, asSentence(err)
		}
		last = now
		served := meta.FindStatusCondition(now.Status.Conditions, v1beta1.TypeServed)
		return served != nil && served.Status == metav1.ConditionTrue && served.ObservedGeneration >= now.Generation, nil
	})
	return last, err
}

// servedMessage is why a kind is not served, as far as that is said.
func servedMessage(config *v1beta1.FederatedTypeConfig) string {
	served := meta.FindStatusCondition(config.Status.Conditions, v1beta1.TypeServed)
	if served == nil || served.Message == "" {
		return "the server does not say why"
	}
	return served.Message
}
