package api_test

import (
	"testing"

	"github.com/koinon-io/koinon/test/integration/admissionsuite"
)

func TestAdmission(t *testing.T) { admissionsuite.Run(t, newFixture(t).config) }
