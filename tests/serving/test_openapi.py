"""What the service says of itself (OpenAPI) is what it does, whatever is sent: schemathesis asks."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

import mmrec_lib as mm

CHECKS = (
    not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance,
    negative_data_rejection,
)  # fmt: skip


@pytest.fixture(scope="module")
def described(bundle, tmp_path_factory):
    """The schema of an application over the little shop."""
    folder = tmp_path_factory.mktemp("service")
    bundle.save(folder / "bundle")
    return schemathesis.openapi.from_asgi("/openapi.json", mm.serving.create_app(folder / "bundle"))


def test_every_answer_is_as_described(described):
    asked = []
    for operation in (result.ok() for result in described.get_all_operations()):

        @given(case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE) | operation.as_strategy(
            generation_mode=GenerationMode.NEGATIVE))  # fmt: skip
        @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True,
                  database=None)  # fmt: skip
        def answered(case):
            answer = case.call()
            case.validate_response(answer, checks=CHECKS)
            assert "Traceback" not in answer.text

        answered()
        asked.append(operation.label)
    assert {"GET /recommend/{user}", "POST /feedback", "POST /items", "GET /explain/{user}/{item}"} <= set(asked)
