package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
)

// DeleteOptions reads the value of the annotation kubefed.io/deleteoption: how objects in members are
// deleted together with their federated object. An empty text is none. The error is a sentence whose
// subject is the annotation.
//
// It is strict. A policy with a typo that was passed over would delete what was to stay.
func DeleteOptions(text string) (metav1.DeleteOptions, error) {
	var options metav1.DeleteOptions
	if text == "" {
		return options, nil
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&options); err != nil {
		return metav1.DeleteOptions{}, fmt.Errorf("is not DeleteOptions in JSON: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return metav1.DeleteOptions{}, errors.New("is not DeleteOptions in JSON: there is more behind the object")
	}
	if errs := metav1validation.ValidateDeleteOptions(&options); len(errs) > 0 {
		return metav1.DeleteOptions{}, fmt.Errorf("does not hold DeleteOptions that members take: %w", errs.ToAggregate())
	}
	if len(options.DryRun) > 0 {
		return metav1.DeleteOptions{}, errors.New("has dryRun, with which nothing would ever be deleted")
	}
	return options, nil
}
