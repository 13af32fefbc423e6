// Package ownership makes metadata.managedFields follow a field through both versions:
// whoever wrote a field owns it, whichever version was spoken, and what v1beta1 cannot say
// its writers neither take nor lose.
//
// The field manager is the library's, one per version and resource. It compares objects and
// sets of fields in the version of a request, and would lose what this version has no place
// for. So all that it is shown is in one shape, whatever the version.
//
// # The tracked shape
//
// A tree like an object in v1beta2, but for the overrides. v1beta2 has one atomic list, of
// which v1beta1 says only a part, so the list is three fields, each atomic:
//
//	spec.overrides.topologyName      the overrides by name, in order
//	spec.overrides.topologySelector  the overrides by selector, in order
//	spec.overrides.order             the indices of those by selector in the list: "2,5"
//
// Names and selectors are written in the words of the request's version: rz00a.shop in a
// request in v1beta1, where it is rz00a in v1beta2. So what a client applies can be compared
// without a look at the object that says what its names mean. They are values, and not part
// of the path of any field.
//
// Groups of a user-defined topology type are names, zone=a in a request in v1beta1, although v1beta1
// shows a selector for those in a placement; who writes that selector writes the names.
//
// An object that comes through v1beta1 has what its annotation says in spec.topologyType,
// spec.placementMask and the overrides by selector; the annotation itself is in no tree, and
// so nobody's.
//
// # Entries of managedFields
//
// An entry is stored, and shown, in the words of the version that its manager spoke last:
// spec.placement.clusters or spec.placement.topologies. If it holds what v1beta1 has no word
// for, such as a placement in groups, it is in v1beta2. Who owns the whole list of overrides owns spec.overrides, as if it
// were atomic; who owns a part, spec.overrides.topologyName or
// spec.overrides.topologySelector.
//
// Entries are turned into fields of the tracked shape before the field manager sees them
// (Serializer for what a client sends, Keeper.Update for what is stored), and back after that
// (Keeper.Admission).
//
// # Around the field manager
//
//	Converter  is the field manager's TypeConverter and ObjectConvertor.
//	Keeper     restores, between the field manager and the first admission plugin, what a
//	           writer of v1beta1 could not say, and gives it back to its owners. So plugins see
//	           whole objects. It words conflicts for the version that is spoken.
//
// Everything may be used concurrently.
package ownership
