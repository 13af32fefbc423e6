package fault

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

var full = Fault{Kind: Full, Reason: "its disk is full (1021)", Remedy: "give it room"}

func TestAFaultComesThroughEtcdsAPIAsItWas(t *testing.T) {
	for name, told := range map[string]*Unavailable{
		"of a write": Write("mysql datastore", New("write to the mysql datastore at db:3306", full, errors.New("Error 1021"))),
		"of a read":  Read("mysql datastore", errors.New("x")),
	} {
		t.Run(name, func(t *testing.T) {
			received := status.FromProto(told.GRPCStatus().Proto()).Err()
			got, found := From(fmt.Errorf("grant a lease: %w", received))
			if diff := cmp.Diff(told, got); !found || diff != "" {
				t.Errorf("found %v (-want +got):\n%s", found, diff)
			}
			if status.Code(received) != codes.Aborted || status.Convert(received).Message() != told.Error() {
				t.Errorf("a client that knows nothing of it gets %v", received)
			}
		})
	}
	for _, other := range []error{nil, errors.New("x"), status.Error(codes.Aborted, "the mysql datastore is away")} {
		if got, found := From(other); found {
			t.Errorf("%v was taken for %+v", other, got)
		}
	}
}

func TestOperatorsAndClientsAreToldWhatTheyMayKnow(t *testing.T) {
	err := New("write to the mysql datastore at db:3306", full, errors.New("Error 1021 (HY000): Disk full (/var/lib/mysql/tmp)"))
	for got, want := range map[string]string{
		err.Error():                           "write to the mysql datastore at db:3306: its disk is full (1021): give it room (Error 1021 (HY000): Disk full (/var/lib/mysql/tmp))",
		Write("mysql datastore", err).Error(): "the mysql datastore refuses writes: its disk is full (1021)",
		Read("mysql datastore", err).Error():  "the mysql datastore is not available: its disk is full (1021)",
		Write("mysql datastore", err).For("mysql datastore at db:3306"): "the mysql datastore at db:3306 refuses writes: its disk is full (1021): give it room",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
