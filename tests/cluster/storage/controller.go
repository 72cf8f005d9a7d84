package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// readyDelayKey is the parameter of a VolumeSnapshotClass that says how long a new snapshot is reported as not ready.
const readyDelayKey = "readyDelay"

// ---- identity

func (d *driver) GetPluginInfo(context.Context, *csi.GetPluginInfoRequest) (*csi.GetPluginInfoResponse, error) {
	return &csi.GetPluginInfoResponse{Name: d.name, VendorVersion: "1"}, nil
}

func (d *driver) GetPluginCapabilities(context.Context, *csi.GetPluginCapabilitiesRequest) (*csi.GetPluginCapabilitiesResponse, error) {
	return &csi.GetPluginCapabilitiesResponse{Capabilities: []*csi.PluginCapability{
		{Type: &csi.PluginCapability_Service_{Service: &csi.PluginCapability_Service{Type: csi.PluginCapability_Service_CONTROLLER_SERVICE}}},
	}}, nil
}

func (d *driver) Probe(context.Context, *csi.ProbeRequest) (*csi.ProbeResponse, error) {
	return &csi.ProbeResponse{Ready: wrapperspb.Bool(true)}, nil
}

// ---- controller

func (d *driver) ControllerGetCapabilities(context.Context, *csi.ControllerGetCapabilitiesRequest) (*csi.ControllerGetCapabilitiesResponse, error) {
	types := []csi.ControllerServiceCapability_RPC_Type{
		csi.ControllerServiceCapability_RPC_CREATE_DELETE_VOLUME,
		csi.ControllerServiceCapability_RPC_CLONE_VOLUME,
		csi.ControllerServiceCapability_RPC_SINGLE_NODE_MULTI_WRITER,
	}
	if !d.noSnapshots {
		types = append(types, csi.ControllerServiceCapability_RPC_CREATE_DELETE_SNAPSHOT, csi.ControllerServiceCapability_RPC_LIST_SNAPSHOTS)
	}
	resp := &csi.ControllerGetCapabilitiesResponse{}
	for _, t := range types {
		resp.Capabilities = append(resp.Capabilities, &csi.ControllerServiceCapability{
			Type: &csi.ControllerServiceCapability_Rpc{Rpc: &csi.ControllerServiceCapability_RPC{Type: t}},
		})
	}
	return resp, nil
}

func checkCapability(c *csi.VolumeCapability) error {
	switch c.GetAccessMode().GetMode() {
	case csi.VolumeCapability_AccessMode_SINGLE_NODE_WRITER,
		csi.VolumeCapability_AccessMode_SINGLE_NODE_SINGLE_WRITER,
		csi.VolumeCapability_AccessMode_SINGLE_NODE_MULTI_WRITER:
	default:
		return status.Errorf(codes.InvalidArgument, "access mode %s is not supported, only ReadWriteOnce and ReadWriteOncePod", c.GetAccessMode().GetMode())
	}
	if c.GetBlock() != nil {
		return status.Error(codes.InvalidArgument, "raw block volumes are not supported, only volumeMode Filesystem")
	}
	if c.GetMount() == nil {
		return status.Error(codes.InvalidArgument, "the volume capability has no access type")
	}
	if _, ok := minSize[c.GetMount().FsType]; !ok {
		return status.Errorf(codes.InvalidArgument, "file system %q is not supported, only ext4 and xfs", c.GetMount().FsType)
	}
	return nil
}

// pickSize answers a capacity range, in whole sectors.
func pickSize(r *csi.CapacityRange, least, usual int64) (int64, error) {
	need, limit := r.GetRequiredBytes(), r.GetLimitBytes()
	if need < 0 || limit < 0 {
		return 0, status.Error(codes.InvalidArgument, "negative capacity")
	}
	if need == 0 {
		if need = max(usual, least); limit > 0 {
			need = min(need, limit&^511)
		}
	}
	size := (need + 511) &^ 511
	if limit > 0 && size > limit {
		return 0, status.Errorf(codes.OutOfRange, "%d bytes are above the limit of %d", size, limit)
	}
	if size < least {
		return 0, status.Errorf(codes.OutOfRange, "%d bytes are not enough, the volume needs at least %d", size, least)
	}
	return size, nil
}

func (d *driver) CreateVolume(_ context.Context, req *csi.CreateVolumeRequest) (*csi.CreateVolumeResponse, error) {
	if req.Name == "" || len(req.VolumeCapabilities) == 0 {
		return nil, status.Error(codes.InvalidArgument, "name and volume capabilities are required")
	}
	least := int64(0)
	for _, c := range req.VolumeCapabilities {
		if err := checkCapability(c); err != nil {
			return nil, err
		}
		least = max(least, minSize[c.GetMount().FsType])
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	usual := int64(defaultSize)
	var src *meta
	if s := req.VolumeContentSource; s != nil {
		var err error
		if id := s.GetSnapshot().GetSnapshotId(); id != "" {
			src, err = d.load("snap", id)
		} else {
			src, err = d.load("vol", s.GetVolume().GetVolumeId())
		}
		if err != nil {
			return nil, err
		}
		if time.Now().Before(src.ReadyAt) {
			return nil, status.Errorf(codes.Unavailable, "snapshot %s is not ready to use", src.ID)
		}
		least, usual = max(least, src.Size), src.Size
	}
	m := &meta{ID: makeID("vol", req.Name), Name: req.Name, Created: time.Now().UTC()}
	if src != nil {
		m.Source = src.ID
	}
	old, err := d.load("vol", m.ID)
	switch {
	case err == nil:
		limit := req.CapacityRange.GetLimitBytes()
		if old.Source != m.Source || old.Size < req.CapacityRange.GetRequiredBytes() || limit > 0 && old.Size > limit {
			return nil, status.Errorf(codes.AlreadyExists, "volume %q exists with another size or source", req.Name)
		}
		m = old
	case status.Code(err) != codes.NotFound:
		return nil, err
	default:
		if m.Size, err = pickSize(req.CapacityRange, least, usual); err != nil {
			return nil, err
		}
		tmp := d.path(m.ID, ".img.tmp")
		if src != nil {
			m.Grow = src.Grow || m.Size > src.Size
			err = d.copyImage(src.ID, tmp)
		} else {
			err = os.WriteFile(tmp, nil, 0o600)
		}
		if err == nil {
			err = os.Truncate(tmp, m.Size)
		}
		if err == nil {
			err = errors.Join(syncFile(tmp), os.Rename(tmp, d.path(m.ID, ".img")))
		}
		if err == nil {
			err = d.save(m)
		}
		if err != nil {
			return nil, errors.Join(err, d.remove(m.ID))
		}
	}
	return &csi.CreateVolumeResponse{Volume: &csi.Volume{VolumeId: m.ID, CapacityBytes: m.Size, ContentSource: req.VolumeContentSource}}, nil
}

func (d *driver) DeleteVolume(_ context.Context, req *csi.DeleteVolumeRequest) (*csi.DeleteVolumeResponse, error) {
	if req.VolumeId == "" {
		return nil, status.Error(codes.InvalidArgument, "volume_id is required")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if idPattern.MatchString(req.VolumeId) && strings.HasPrefix(req.VolumeId, "vol-") {
		dev, err := loopOf(d.path(req.VolumeId, ".img"))
		if err != nil {
			return nil, err
		}
		if dev != "" {
			return nil, status.Errorf(codes.FailedPrecondition, "volume %s is in use, attached as %s", req.VolumeId, dev)
		}
		if err := d.remove(req.VolumeId); err != nil {
			return nil, err
		}
	}
	return &csi.DeleteVolumeResponse{}, nil
}

func (d *driver) ValidateVolumeCapabilities(_ context.Context, req *csi.ValidateVolumeCapabilitiesRequest) (*csi.ValidateVolumeCapabilitiesResponse, error) {
	if req.VolumeId == "" || len(req.VolumeCapabilities) == 0 {
		return nil, status.Error(codes.InvalidArgument, "volume_id and volume capabilities are required")
	}
	if _, err := d.load("vol", req.VolumeId); err != nil {
		return nil, err
	}
	for _, c := range req.VolumeCapabilities {
		if err := checkCapability(c); err != nil {
			return &csi.ValidateVolumeCapabilitiesResponse{Message: err.Error()}, nil
		}
	}
	return &csi.ValidateVolumeCapabilitiesResponse{Confirmed: &csi.ValidateVolumeCapabilitiesResponse_Confirmed{
		VolumeContext: req.VolumeContext, VolumeCapabilities: req.VolumeCapabilities, Parameters: req.Parameters,
	}}, nil
}

// ---- snapshots

func snapshotOf(m *meta) *csi.Snapshot {
	return &csi.Snapshot{
		SnapshotId:     m.ID,
		SourceVolumeId: m.Source,
		SizeBytes:      m.Size,
		CreationTime:   timestamppb.New(m.Created),
		ReadyToUse:     !time.Now().Before(m.ReadyAt),
	}
}

func readyDelay(parameters map[string]string) (time.Duration, error) {
	text, ok := parameters[readyDelayKey]
	if !ok {
		return 0, nil
	}
	delay, err := time.ParseDuration(text)
	if err != nil || delay < 0 {
		return 0, status.Errorf(codes.InvalidArgument, "parameter %s: %q is not a duration", readyDelayKey, text)
	}
	return delay, nil
}

func (d *driver) CreateSnapshot(_ context.Context, req *csi.CreateSnapshotRequest) (*csi.CreateSnapshotResponse, error) {
	if d.noSnapshots {
		return nil, status.Error(codes.Unimplemented, "snapshots are switched off")
	}
	if req.Name == "" || req.SourceVolumeId == "" {
		return nil, status.Error(codes.InvalidArgument, "name and source_volume_id are required")
	}
	delay, err := readyDelay(req.Parameters)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	id := makeID("snap", req.Name)
	m, err := d.load("snap", id)
	switch {
	case err == nil:
		if m.Source != req.SourceVolumeId {
			return nil, status.Errorf(codes.AlreadyExists, "snapshot %q exists, of volume %s", req.Name, m.Source)
		}
	case status.Code(err) != codes.NotFound:
		return nil, err
	default:
		src, err := d.load("vol", req.SourceVolumeId)
		if err != nil {
			return nil, err
		}
		m = &meta{ID: id, Name: req.Name, Size: src.Size, Grow: src.Grow, Source: src.ID, Created: time.Now().UTC()}
		m.ReadyAt = m.Created.Add(delay)
		img := d.path(id, ".img")
		if err = d.copyImage(src.ID, img); err == nil {
			err = syncFile(img)
		}
		if err == nil {
			err = d.save(m)
		}
		if err != nil {
			return nil, errors.Join(err, d.remove(id))
		}
	}
	return &csi.CreateSnapshotResponse{Snapshot: snapshotOf(m)}, nil
}

func (d *driver) DeleteSnapshot(_ context.Context, req *csi.DeleteSnapshotRequest) (*csi.DeleteSnapshotResponse, error) {
	if req.SnapshotId == "" {
		return nil, status.Error(codes.InvalidArgument, "snapshot_id is required")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if idPattern.MatchString(req.SnapshotId) && strings.HasPrefix(req.SnapshotId, "snap-") {
		if err := d.remove(req.SnapshotId); err != nil {
			return nil, err
		}
	}
	return &csi.DeleteSnapshotResponse{}, nil
}

func (d *driver) ListSnapshots(_ context.Context, req *csi.ListSnapshotsRequest) (*csi.ListSnapshotsResponse, error) {
	files, err := filepath.Glob(d.path("snap-*", ".json")) // sorted
	if err != nil {
		return nil, err
	}
	var entries []*csi.ListSnapshotsResponse_Entry
	for _, file := range files {
		m, err := d.load("snap", strings.TrimSuffix(filepath.Base(file), ".json"))
		if status.Code(err) == codes.NotFound {
			continue // deleted meanwhile
		} else if err != nil {
			return nil, err
		}
		if (req.SnapshotId == "" || m.ID == req.SnapshotId) && (req.SourceVolumeId == "" || m.Source == req.SourceVolumeId) {
			entries = append(entries, &csi.ListSnapshotsResponse_Entry{Snapshot: snapshotOf(m)})
		}
	}
	start := 0
	if req.StartingToken != "" {
		if start, err = strconv.Atoi(req.StartingToken); err != nil || start < 0 || start > len(entries) {
			return nil, status.Errorf(codes.Aborted, "invalid starting_token %q", req.StartingToken)
		}
	}
	resp := &csi.ListSnapshotsResponse{Entries: entries[start:]}
	if n := int(req.MaxEntries); n > 0 && n < len(resp.Entries) {
		resp.Entries, resp.NextToken = resp.Entries[:n], strconv.Itoa(start+n)
	}
	return resp, nil
}
