package main

import (
	"context"
	"fmt"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

const (
	fsTypeKey     = "csi.storage.k8s.io/fstype"
	snapshotGroup = "snapshot.storage.k8s.io"
)

var accessModes = map[v1.PersistentVolumeAccessMode]csi.VolumeCapability_AccessMode_Mode{
	v1.ReadWriteOnce:    csi.VolumeCapability_AccessMode_SINGLE_NODE_MULTI_WRITER,
	v1.ReadWriteOncePod: csi.VolumeCapability_AccessMode_SINGLE_NODE_SINGLE_WRITER,
	v1.ReadOnlyMany:     csi.VolumeCapability_AccessMode_MULTI_NODE_READER_ONLY,  // CreateVolume refuses it
	v1.ReadWriteMany:    csi.VolumeCapability_AccessMode_MULTI_NODE_MULTI_WRITER, // CreateVolume refuses it
}

// provisioner turns PersistentVolumeClaims into CSI PersistentVolumes.
type provisioner struct {
	driver  *driver
	client  kubernetes.Interface
	dynamic dynamic.Interface
}

func runProvisioner(ctx context.Context, d *driver, config *rest.Config) {
	client := kubernetes.NewForConfigOrDie(config)
	p := &provisioner{driver: d, client: client, dynamic: dynamic.NewForConfigOrDie(config)}
	controller.NewProvisionController(ctx, client, d.name, p,
		controller.LeaderElection(false),
		controller.AddFinalizer(true),
		controller.FailedProvisionThreshold(0), // try forever
		controller.FailedDeleteThreshold(0),
		controller.RateLimiter(workqueue.NewTypedItemExponentialFailureRateLimiter[string](time.Second, 10*time.Second)),
	).Run(ctx)
}

func (p *provisioner) Provision(ctx context.Context, o controller.ProvisionOptions) (*v1.PersistentVolume, controller.ProvisioningState, error) {
	pvc, class := o.PVC, o.StorageClass
	if pvc.Spec.Selector != nil {
		return nil, controller.ProvisioningFinished, fmt.Errorf("claim selectors are not supported")
	}
	fsType := class.Parameters[fsTypeKey]
	if fsType == "" {
		fsType = "ext4"
	}
	source, err := p.source(ctx, pvc)
	if err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	req := &csi.CreateVolumeRequest{
		Name:                o.PVName,
		CapacityRange:       &csi.CapacityRange{RequiredBytes: pvc.Spec.Resources.Requests.Storage().Value()},
		VolumeContentSource: source,
	}
	if limit, ok := pvc.Spec.Resources.Limits[v1.ResourceStorage]; ok {
		req.CapacityRange.LimitBytes = limit.Value()
	}
	for _, mode := range pvc.Spec.AccessModes {
		req.VolumeCapabilities = append(req.VolumeCapabilities, &csi.VolumeCapability{
			AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{FsType: fsType, MountFlags: class.MountOptions}},
			AccessMode: &csi.VolumeCapability_AccessMode{Mode: accessModes[mode]},
		})
	}
	resp, err := p.driver.CreateVolume(ctx, req)
	if err != nil {
		return nil, controller.ProvisioningFinished, err
	}
	filesystem := v1.PersistentVolumeFilesystem
	return &v1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: o.PVName},
		Spec: v1.PersistentVolumeSpec{
			Capacity:                      v1.ResourceList{v1.ResourceStorage: *resource.NewQuantity(resp.Volume.CapacityBytes, resource.BinarySI)},
			AccessModes:                   pvc.Spec.AccessModes,
			VolumeMode:                    &filesystem,
			MountOptions:                  class.MountOptions,
			PersistentVolumeReclaimPolicy: *class.ReclaimPolicy,
			PersistentVolumeSource: v1.PersistentVolumeSource{CSI: &v1.CSIPersistentVolumeSource{
				Driver:       p.driver.name,
				VolumeHandle: resp.Volume.VolumeId,
				FSType:       fsType,
			}},
		},
	}, controller.ProvisioningFinished, nil
}

func (p *provisioner) Delete(ctx context.Context, pv *v1.PersistentVolume) error {
	if pv.Spec.CSI == nil || pv.Spec.CSI.Driver != p.driver.name {
		return &controller.IgnoredError{Reason: "the volume belongs to another driver"}
	}
	_, err := p.driver.DeleteVolume(ctx, &csi.DeleteVolumeRequest{VolumeId: pv.Spec.CSI.VolumeHandle})
	return err
}

// source translates the data source of a claim. Kinds that are not known here
// are left to volume populators.
func (p *provisioner) source(ctx context.Context, pvc *v1.PersistentVolumeClaim) (*csi.VolumeContentSource, error) {
	ref := pvc.Spec.DataSource
	if ref == nil {
		if pvc.Spec.DataSourceRef != nil {
			return nil, &controller.IgnoredError{Reason: "data source is for another populator"}
		}
		return nil, nil
	}
	group := ""
	if ref.APIGroup != nil {
		group = *ref.APIGroup
	}
	switch {
	case group == snapshotGroup && ref.Kind == "VolumeSnapshot":
		handle, err := p.snapshotHandle(ctx, pvc.Namespace, ref.Name)
		if err != nil {
			return nil, fmt.Errorf("VolumeSnapshot %s: %w", ref.Name, err)
		}
		return snapshotSource(handle), nil
	case group == "" && ref.Kind == "PersistentVolumeClaim":
		handle, err := p.claimHandle(ctx, pvc.Namespace, ref.Name)
		if err != nil {
			return nil, fmt.Errorf("source PersistentVolumeClaim %s: %w", ref.Name, err)
		}
		return volumeSource(handle), nil
	}
	return nil, &controller.IgnoredError{Reason: "data source is for another populator"}
}

func (p *provisioner) claimHandle(ctx context.Context, namespace, name string) (string, error) {
	pvc, err := p.client.CoreV1().PersistentVolumeClaims(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	if pvc.Status.Phase != v1.ClaimBound || pvc.Spec.VolumeName == "" || pvc.DeletionTimestamp != nil {
		return "", fmt.Errorf("it is not bound, or it is being deleted")
	}
	pv, err := p.client.CoreV1().PersistentVolumes().Get(ctx, pvc.Spec.VolumeName, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	if pv.Spec.CSI == nil || pv.Spec.CSI.Driver != p.driver.name {
		return "", fmt.Errorf("its volume belongs to another driver")
	}
	return pv.Spec.CSI.VolumeHandle, nil
}

func (p *provisioner) snapshotHandle(ctx context.Context, namespace, name string) (string, error) {
	resource := func(r string) schema.GroupVersionResource {
		return schema.GroupVersionResource{Group: snapshotGroup, Version: "v1", Resource: r}
	}
	str := func(o *unstructured.Unstructured, path ...string) string {
		s, _, _ := unstructured.NestedString(o.Object, path...)
		return s
	}
	snap, err := p.dynamic.Resource(resource("volumesnapshots")).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	if snap.GetDeletionTimestamp() != nil {
		return "", fmt.Errorf("it is being deleted")
	}
	contentName := str(snap, "status", "boundVolumeSnapshotContentName")
	if ready, _, _ := unstructured.NestedBool(snap.Object, "status", "readyToUse"); !ready || contentName == "" {
		return "", fmt.Errorf("it is not ready to use %s", str(snap, "status", "error", "message"))
	}
	content, err := p.dynamic.Resource(resource("volumesnapshotcontents")).Get(ctx, contentName, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	if str(content, "spec", "volumeSnapshotRef", "uid") != string(snap.GetUID()) {
		return "", fmt.Errorf("its content %s is bound to another snapshot", contentName)
	}
	if d := str(content, "spec", "driver"); d != p.driver.name {
		return "", fmt.Errorf("it belongs to another driver (%s)", d)
	}
	handle := str(content, "status", "snapshotHandle")
	if handle == "" {
		return "", fmt.Errorf("its content %s has no snapshot handle", contentName)
	}
	return handle, nil
}

func snapshotSource(id string) *csi.VolumeContentSource {
	return &csi.VolumeContentSource{Type: &csi.VolumeContentSource_Snapshot{Snapshot: &csi.VolumeContentSource_SnapshotSource{SnapshotId: id}}}
}

func volumeSource(id string) *csi.VolumeContentSource {
	return &csi.VolumeContentSource{Type: &csi.VolumeContentSource_Volume{Volume: &csi.VolumeContentSource_VolumeSource{VolumeId: id}}}
}
