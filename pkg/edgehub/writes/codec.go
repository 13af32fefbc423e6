package writes

import (
	"encoding/json"
	"fmt"
	"net/http"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
)

// codecsScheme has the types that are read.
var codecsScheme = func() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{authenticationv1.AddToScheme, authorizationv1.AddToScheme, coordinationv1.AddToScheme, corev1.AddToScheme, eventsv1.AddToScheme} {
		utilruntime.Must(add(scheme)) // which fails for no client
	}
	return scheme
}()

// codecs read what kubelet sends: protobuf, as a rule.
var codecs = serializer.NewCodecFactory(codecsScheme)

// decode reads an object of one of the types that are known here.
func decode[T runtime.Object](body []byte, into T) error {
	o, _, err := codecs.UniversalDeserializer().Decode(body, nil, into)
	if err != nil {
		return err
	}
	if _, ok := o.(T); !ok {
		return fmt.Errorf("it is a %s", o.GetObjectKind().GroupVersionKind())
	}
	return nil
}

// answer writes an object as JSON. Whoever would rather have protobuf takes that, too.
func answer(rw http.ResponseWriter, code int, object any) {
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(code)
	_ = json.NewEncoder(rw).Encode(object)
}
