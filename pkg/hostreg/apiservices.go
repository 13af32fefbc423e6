package hostreg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/klog/v2"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
)

// KindsAnnotation on an APIService names the set of kinds that a replica serves, and the
// time at which it began to. Its change makes the host ask for discovery and OpenAPI anew.
const KindsAnnotation = "federation.koinon.io/kinds"

// ServedAnnotation on an APIService is the time at which a replica began to serve although
// the host held the server for unavailable. Its change makes the host look at once, which it
// otherwise does up to half a minute later.
const ServedAnnotation = "federation.koinon.io/served-since"

// automanagedLabel is on APIServices that the host keeps for CRDs and for its own groups.
const automanagedLabel = "kube-aggregator.kubernetes.io/automanaged"

func apiServiceName(gv schema.GroupVersion) string { return gv.Version + "." + gv.Group }

// ensureAPIServices keeps all APIServices. One that cannot be kept does not hold up the
// others.
func (r *Registration) ensureAPIServices(ctx context.Context, trust []byte) error {
	kinds := r.pendingKinds()
	var errs []error
	for gv, priority := range r.config.GroupVersions {
		annotations := map[string]string{}
		if gv.Group == r.config.KindsGroup && kinds != "" {
			annotations[KindsAnnotation] = kinds
		}
		if err := r.ensureAPIService(ctx, r.wanted(gv, priority, trust), annotations); err != nil {
			errs = append(errs, fmt.Errorf("keep the APIService %s of the host: %w", apiServiceName(gv), err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	r.announced(kinds)
	r.registered = true
	return nil
}

func (r *Registration) wanted(gv schema.GroupVersion, priority Priority, trust []byte) *apiregistrationv1.APIService {
	return &apiregistrationv1.APIService{
		ObjectMeta: metav1.ObjectMeta{Name: apiServiceName(gv), Labels: managedBy},
		Spec: apiregistrationv1.APIServiceSpec{
			Service:              &apiregistrationv1.ServiceReference{Namespace: r.config.Namespace, Name: r.config.ServiceName, Port: &r.config.ServicePort},
			Group:                gv.Group,
			Version:              gv.Version,
			CABundle:             trust,
			GroupPriorityMinimum: priority.Group,
			VersionPriority:      priority.Version,
		},
	}
}

// ensureAPIService creates or corrects one APIService. The annotations are written beside
// those that are there.
func (r *Registration) ensureAPIService(ctx context.Context, wanted *apiregistrationv1.APIService, annotations map[string]string) error {
	current, err := r.config.APIServices.Get(ctx, wanted.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		if err := r.loop.MayWrite(ctx); err != nil {
			return err
		}
		annotate(wanted, annotations)
		_, err := r.config.APIServices.Create(ctx, wanted, metav1.CreateOptions{})
		if err == nil {
			klog.FromContext(ctx).V(2).Info("Registered a group version in the host", "apiService", wanted.Name)
		}
		return err
	}
	if err != nil {
		return err
	}
	if err := foreign(current); err != nil {
		return err
	}
	if !r.registered && unavailable(current) {
		annotations[ServedAnnotation] = r.config.Clock.Now().UTC().Format(time.RFC3339Nano)
	}
	corrected, changed := correct(current, wanted, annotations)
	if !changed {
		return nil
	}
	if err := r.loop.MayWrite(ctx); err != nil {
		return err
	}
	if _, err := r.config.APIServices.Update(ctx, corrected, metav1.UpdateOptions{}); err != nil {
		return err
	}
	klog.FromContext(ctx).V(2).Info("Corrected the registration of a group version in the host", "apiService", wanted.Name)
	return nil
}

// foreign says in one sentence why an APIService is somebody else's.
func foreign(current *apiregistrationv1.APIService) error {
	switch {
	case managed(current.Labels):
		return nil
	case current.Labels[automanagedLabel] != "":
		return fmt.Errorf("the host serves %s/%s from CRDs, whose objects would become invisible: move them here and delete the CRDs of that group", current.Spec.Group, current.Spec.Version)
	case current.Spec.Service != nil:
		return fmt.Errorf("it names the Service %s/%s and is not labelled %v: delete it, or label it to hand it over", current.Spec.Service.Namespace, current.Spec.Service.Name, managedBy)
	}
	return errors.New("the host serves this group version itself")
}

// correct returns current with what is ours as wanted, and whether that is a change. Labels
// and annotations of others stay.
func correct(current, wanted *apiregistrationv1.APIService, annotations map[string]string) (*apiregistrationv1.APIService, bool) {
	corrected := current.DeepCopy()
	if corrected.Labels == nil {
		corrected.Labels = map[string]string{}
	}
	maps.Copy(corrected.Labels, wanted.Labels)
	changed := !sameSpec(&current.Spec, &wanted.Spec)
	corrected.Spec = wanted.Spec
	return corrected, annotate(corrected, annotations) || changed
}

// unavailable says that the host has found the server missing.
func unavailable(service *apiregistrationv1.APIService) bool {
	return slices.ContainsFunc(service.Status.Conditions, func(condition apiregistrationv1.APIServiceCondition) bool {
		return condition.Type == apiregistrationv1.Available && condition.Status == apiregistrationv1.ConditionFalse
	})
}

// annotate writes annotations, and says whether that is a change.
func annotate(service *apiregistrationv1.APIService, annotations map[string]string) bool {
	changed := false
	for key, value := range annotations {
		if service.Annotations[key] != value {
			metav1.SetMetaDataAnnotation(&service.ObjectMeta, key, value)
			changed = true
		}
	}
	return changed
}

func sameSpec(a, b *apiregistrationv1.APIServiceSpec) bool {
	return a.Service != nil && b.Service != nil && a.Service.Namespace == b.Service.Namespace && a.Service.Name == b.Service.Name &&
		a.Service.Port != nil && *a.Service.Port == *b.Service.Port &&
		a.Group == b.Group && a.Version == b.Version && bytes.Equal(a.CABundle, b.CABundle) &&
		a.InsecureSkipTLSVerify == b.InsecureSkipTLSVerify &&
		a.GroupPriorityMinimum == b.GroupPriorityMinimum && a.VersionPriority == b.VersionPriority
}

// KindsChanged says that this process now serves another set of kinds. fingerprint is the
// same for equal sets; a call with the last one does nothing.
//
// Every replica announces its own change, since the host may have asked one that had not
// seen it yet. None restores what another one overwrote, so they do not take turns for ever.
func (r *Registration) KindsChanged(fingerprint string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if fingerprint == r.fingerprint {
		return
	}
	r.fingerprint = fingerprint
	r.kinds = fingerprint + " " + r.config.Clock.Now().UTC().Format(time.RFC3339Nano)
	r.loop.Changed()
}

func (r *Registration) pendingKinds() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.kinds
}

// announced forgets what was written, unless it has changed since.
func (r *Registration) announced(kinds string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.kinds == kinds {
		r.kinds = ""
	}
}
