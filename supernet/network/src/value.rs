use burn::tensor::{DType, Device, FloatDType, Gradients, Int, Tensor, TensorData};
use tnas_graph::{HostData, HostTensor};

/// A tensor whose rank is known at run time only.
#[derive(Clone, Debug)]
pub enum Value {
    /// `[a]`
    F1(Tensor<1>),
    /// `[a, b]`
    F2(Tensor<2>),
    /// `[a, b, c]`
    F3(Tensor<3>),
    /// `[a, b, c, d]`
    F4(Tensor<4>),
    /// `[a, b, c, d, e]`
    F5(Tensor<5>),
    /// Integers `[a, b]`.
    Ids(Tensor<2, Int>),
}

/// Runs a body with the tensor in its own rank; integers pass through unchanged.
macro_rules! with_rank {
    ($value:expr, $x:ident => $body:expr) => {
        match $value {
            $crate::Value::F1($x) => $crate::Value::F1($body),
            $crate::Value::F2($x) => $crate::Value::F2($body),
            $crate::Value::F3($x) => $crate::Value::F3($body),
            $crate::Value::F4($x) => $crate::Value::F4($body),
            $crate::Value::F5($x) => $crate::Value::F5($body),
            ids => ids,
        }
    };
}
pub(crate) use with_rank;

impl Value {
    /// Moves a host tensor to a device. Floats have ranks 1 to 5, integers 2; panics otherwise.
    pub fn from_host(host: &HostTensor, device: &Device) -> Self {
        match &host.data {
            HostData::F32(data) => Self::from_f32(data.clone(), &host.shape, device),
            HostData::I64(data) => {
                let data = TensorData::new(data.clone(), host.shape.clone());
                Self::Ids(Tensor::from_data(data, device))
            }
        }
    }

    /// Floats in a shape of 1 to 5 axes.
    pub fn from_f32(data: Vec<f32>, shape: &[usize], device: &Device) -> Self {
        let length = data.len();
        let flat = Tensor::<1>::from_data(TensorData::new(data, [length]), (device, DType::F32));
        Self::F1(flat).reshape(shape)
    }

    /// Host floats as constants of a run on `device`, which may track gradients: none flows into them.
    pub fn constant(data: Vec<f32>, shape: &[usize], device: &Device) -> Self {
        Self::from_f32(data, shape, &device.clone().inner()).constant_for(device)
    }

    /// Copies to the host.
    pub fn to_host(&self) -> HostTensor {
        let shape = self.shape();
        if let Self::Ids(ids) = self {
            let data = ids.to_data_as::<i64>();
            return HostTensor::i64(&shape, data.try_into_vec::<i64>().unwrap_or_default());
        }
        HostTensor::f32(&shape, self.to_vec())
    }

    /// Copies floats to the host.
    pub fn to_vec(&self) -> Vec<f32> {
        let flat = self.clone().reshape(&[self.shape().iter().product()]);
        match flat {
            Self::F1(x) => x.into_data_as::<f32>().try_into_vec::<f32>().unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    /// Axis lengths.
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Self::F1(x) => x.dims().to_vec(),
            Self::F2(x) => x.dims().to_vec(),
            Self::F3(x) => x.dims().to_vec(),
            Self::F4(x) => x.dims().to_vec(),
            Self::F5(x) => x.dims().to_vec(),
            Self::Ids(x) => x.dims().to_vec(),
        }
    }

    /// The same elements in another shape of 1 to 5 axes.
    pub fn reshape(self, shape: &[usize]) -> Self {
        fn any<const D: usize>(x: Tensor<D>, shape: &[usize]) -> Value {
            match *shape {
                [a] => Value::F1(x.reshape([a])),
                [a, b] => Value::F2(x.reshape([a, b])),
                [a, b, c] => Value::F3(x.reshape([a, b, c])),
                [a, b, c, d] => Value::F4(x.reshape([a, b, c, d])),
                [a, b, c, d, e] => Value::F5(x.reshape([a, b, c, d, e])),
                _ => panic!("a tensor of {} axes: graphs have 1 to 5", shape.len()),
            }
        }
        match self {
            Self::F1(x) => any(x, shape),
            Self::F2(x) => any(x, shape),
            Self::F3(x) => any(x, shape),
            Self::F4(x) => any(x, shape),
            Self::F5(x) => any(x, shape),
            ids => ids,
        }
    }

    /// Floats in another precision, with gradients; integers pass through.
    pub(crate) fn cast(self, dtype: FloatDType) -> Self {
        with_rank!(self, x => x.cast(dtype))
    }

    /// As rank 1.
    pub fn flat(self) -> Tensor<1> {
        let length = self.shape().iter().product();
        match self.reshape(&[length]) {
            Self::F1(x) => x,
            _ => panic!("integers where floats are needed"),
        }
    }

    /// As rank 2 with the last axis kept.
    pub fn rows(self) -> Tensor<2> {
        let shape = self.shape();
        let last = shape.last().copied().unwrap_or(1);
        let rows = shape.iter().product::<usize>() / last.max(1);
        match self.reshape(&[rows, last]) {
            Self::F2(x) => x,
            _ => panic!("integers where floats are needed"),
        }
    }

    /// As rank 4; panics where it is of another.
    pub fn image(self) -> Tensor<4> {
        match self {
            Self::F4(x) => x,
            other => panic!("rank 4 expected, found {:?}", other.shape()),
        }
    }

    /// The same value on the autodiff device of `device`, untracked.
    pub fn constant_for(self, device: &Device) -> Self {
        if !device.is_autodiff() {
            return self;
        }
        match self {
            Self::Ids(x) => Self::Ids(Tensor::from_inner(x)),
            other => with_rank!(other, x => Tensor::from_inner(x)),
        }
    }

    /// The same value on the autodiff device, tracked as a leaf of its own; integers are not.
    pub(crate) fn leaf(self, device: &Device) -> Self {
        match self {
            Self::Ids(_) => self.constant_for(device),
            other => with_rank!(other, x => Tensor::from_inner(x).require_grad()),
        }
    }

    /// Whether gradients reach it.
    pub(crate) fn is_tracked(&self) -> bool {
        match self {
            Self::F1(x) => x.is_tracked(),
            Self::F2(x) => x.is_tracked(),
            Self::F3(x) => x.is_tracked(),
            Self::F4(x) => x.is_tracked(),
            Self::F5(x) => x.is_tracked(),
            Self::Ids(_) => false,
        }
    }

    /// Takes its gradient out, on the plain device.
    pub(crate) fn take_gradient(&self, gradients: &mut Gradients) -> Option<Self> {
        match self {
            Self::F1(x) => x.grad_remove(gradients).map(Self::F1),
            Self::F2(x) => x.grad_remove(gradients).map(Self::F2),
            Self::F3(x) => x.grad_remove(gradients).map(Self::F3),
            Self::F4(x) => x.grad_remove(gradients).map(Self::F4),
            Self::F5(x) => x.grad_remove(gradients).map(Self::F5),
            Self::Ids(_) => None,
        }
    }

    /// Without gradients, on the plain device.
    pub fn inner(self) -> Self {
        match self {
            Self::Ids(x) => Self::Ids(x.inner()),
            other => with_rank!(other, x => x.inner()),
        }
    }
}
