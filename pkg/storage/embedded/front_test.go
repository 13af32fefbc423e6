package embedded

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/grpc"
)

// sink keeps the revisions of what is sent.
type sink struct {
	grpc.ServerStream
	sent []int64
}

func (s *sink) SendMsg(message any) error {
	s.sent = append(s.sent, message.(*etcdserverpb.WatchResponse).Header.Revision)
	return nil
}

func TestRevisionsOnAWatchDoNotGoBack(t *testing.T) {
	created := func(id, revision int64) *etcdserverpb.WatchResponse {
		return &etcdserverpb.WatchResponse{WatchId: id, Created: true, Header: &etcdserverpb.ResponseHeader{Revision: revision}}
	}
	progress := func(id, revision int64) *etcdserverpb.WatchResponse {
		return &etcdserverpb.WatchResponse{WatchId: id, Header: &etcdserverpb.ResponseHeader{Revision: revision}}
	}
	event := func(id, revision int64) *etcdserverpb.WatchResponse {
		response := progress(id, revision)
		response.Events = []*mvccpb.Event{{}}
		return response
	}
	canceled := func(id, revision int64) *etcdserverpb.WatchResponse {
		response := progress(id, revision)
		response.Canceled = true
		return response
	}
	cases := map[string]struct {
		send []*etcdserverpb.WatchResponse
		want []int64
	}{
		"a notification after a later event is left out":   {[]*etcdserverpb.WatchResponse{created(1, 9), event(1, 10), progress(1, 9), progress(1, 10)}, []int64{9, 10, 10}},
		"one for all is left out if one watch is further":  {[]*etcdserverpb.WatchResponse{created(1, 9), created(2, 9), event(2, 12), progress(everyWatch, 11), progress(everyWatch, 12)}, []int64{9, 9, 12, 12}},
		"watches are told of on their own":                 {[]*etcdserverpb.WatchResponse{created(1, 9), created(2, 9), event(2, 12), progress(1, 10)}, []int64{9, 9, 12, 10}},
		"revision 0, of a watch that closes, is left out":  {[]*etcdserverpb.WatchResponse{created(1, 9), progress(1, 0), canceled(1, 0)}, []int64{9, 0}},
		"what was canceled holds up nobody":                {[]*etcdserverpb.WatchResponse{created(1, 9), created(2, 9), event(2, 12), canceled(2, 12), progress(everyWatch, 11)}, []int64{9, 9, 12, 12, 11}},
		"events of the past are sent: they were asked for": {[]*etcdserverpb.WatchResponse{created(1, 9), event(1, 3), event(1, 4)}, []int64{9, 3, 4}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			out := &sink{}
			stream := &watchStream{ServerStream: out, sent: map[int64]int64{}}
			for _, response := range c.send {
				if err := stream.SendMsg(response); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(c.want, out.sent); diff != "" {
				t.Errorf("revisions sent (-want +got):\n%s", diff)
			}
		})
	}
}

func TestContentsOfRequestsStayOutOfTheLog(t *testing.T) {
	request, reason, found := cutRequest(`error in txn success:{request_put:{key:"/registry/secrets/a" value:"hunter2: x"}}: rpc error: code = Unavailable desc = it is shutting down (1053)`)
	if !found || request != "txn" || reason != "code = Unavailable desc = it is shutting down (1053)" {
		t.Errorf("got %q, %q, %v", request, reason, found)
	}
	if _, _, found := cutRequest("something else: x"); found {
		t.Error("another line was taken for a request")
	}
}
