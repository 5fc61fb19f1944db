"""A runtime for MLServer, which brings none for ONNX."""

from __future__ import annotations

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput
from onnx_model import OnnxModel


class Predictor(MLModel):
    """Predicts a tensor."""

    async def load(self) -> bool:
        """Load the model."""
        self._model = OnnxModel()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Predict on the event loop."""
        outputs = []
        for name, answer in self._model.run(NumpyCodec.decode_input(payload.inputs[0])).items():
            if answer.dtype.kind == "O":
                shape = list(answer.shape)  # StringCodec would say [n, 1]
                outputs.append(ResponseOutput(name=name, shape=shape, datatype="BYTES", data=answer.tolist()))
            else:
                outputs.append(NumpyCodec.encode_output(name, answer))
        return InferenceResponse(model_name=self.name, outputs=outputs)
