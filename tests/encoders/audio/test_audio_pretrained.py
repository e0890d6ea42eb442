"""Pretrained models of sound: tiny random AST, wav2vec 2.0 and CLAP, saved to a folder and read by the real code."""

import numpy as np
import pytest
import soundfile
import torch

import mmrec_lib as mm
from mmrec_lib.encoders.audio.pretrained import TransformerAudio, cut
from mmrec_lib.errors import DownloadError, ParameterError

transformers = pytest.importorskip("transformers")


def _save(folder, config, model, extractor):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model(config).save_pretrained(folder)
    extractor.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def ast(tmp_path_factory):
    config = transformers.ASTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, max_length=64, num_mel_bins=32
    )
    extractor = transformers.ASTFeatureExtractor(max_length=64, num_mel_bins=32)
    return _save(tmp_path_factory.mktemp("ast"), config, transformers.ASTModel, extractor)


def _wav2vec2(folder, norm, mask):
    config = transformers.Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, feat_extract_norm=norm,
        conv_dim=(16, 16), conv_kernel=(10, 3), conv_stride=(5, 4), num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2, do_stable_layer_norm=mask,
    )  # fmt: skip
    extractor = transformers.Wav2Vec2FeatureExtractor(return_attention_mask=mask)
    return _save(folder, config, transformers.Wav2Vec2Model, extractor)


@pytest.fixture(scope="module")
def wav2vec2(tmp_path_factory):
    """As the base model: trained without an attention mask."""
    return _wav2vec2(tmp_path_factory.mktemp("wav2vec2"), "group", mask=False)


@pytest.fixture(scope="module")
def wav2vec2_masked(tmp_path_factory):
    return _wav2vec2(tmp_path_factory.mktemp("wav2vec2m"), "layer", mask=True)


def _clap(folder, fused):
    audio = {
        "spec_size": 32, "window_size": 4, "num_mel_bins": 8, "patch_size": 4, "patch_stride": [4, 4],
        "num_hidden_layers": 2, "depths": [1, 1], "num_attention_heads": [2, 2], "patch_embeds_hidden_size": 8,
        "hidden_size": 16, "projection_dim": 12, "num_classes": 3, "enable_fusion": fused,
    }  # fmt: skip
    text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.ClapConfig(
        audio_config=audio, text_config=text | {"vocab_size": 20, "projection_dim": 12}, projection_dim=12
    )
    extractor = transformers.ClapFeatureExtractor(
        feature_size=8, max_length_s=1, truncation="fusion" if fused else "rand_trunc"
    )
    return _save(folder, config, transformers.ClapModel, extractor)


@pytest.fixture(scope="module")
def clap(tmp_path_factory):
    return _clap(tmp_path_factory.mktemp("clap"), fused=False)


@pytest.fixture(scope="module")
def clap_fused(tmp_path_factory):
    """Its extractor draws random numbers even for short sounds."""
    return _clap(tmp_path_factory.mktemp("clap_fused"), fused=True)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """Noises of 0.05, 0.4, 0.9 and 2.3 seconds."""
    folder, rng = tmp_path_factory.mktemp("sounds"), np.random.default_rng(0)
    paths = [folder / f"{n}.wav" for n in range(4)]
    for path, seconds in zip(paths, (0.05, 0.4, 0.9, 2.3), strict=True):
        soundfile.write(path, 0.1 * rng.standard_normal(int(seconds * 22050)), 22050)
    return paths


@pytest.mark.parametrize(
    ("fixture", "dim"), [("ast", 16), ("wav2vec2", 16), ("wav2vec2_masked", 16), ("clap", 12), ("clap_fused", 12)]
)
def test_vectors_have_the_models_length_and_do_not_depend_on_the_batch(fixture, dim, sounds, request):
    encoder = TransformerAudio(request.getfixturevalue(fixture), precision="float32")
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - the caller's generator
    together = encoder.encode(sounds, batch_size=4, device="cpu")
    assert together.shape == (4, dim)
    assert encoder.dim == dim
    assert np.isfinite(together).all()
    assert np.abs(np.diff(together, axis=0)).max() > 1e-4
    np.testing.assert_allclose(together, encoder.encode(sounds, batch_size=1, device="cpu"), atol=2e-5)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


def test_the_rate_is_that_of_the_extractor(wav2vec2, sounds):
    encoder = TransformerAudio(wav2vec2, precision="float32")
    (part,) = encoder._open(sounds[2])
    assert encoder.rate == 16_000
    assert len(part) == pytest.approx(0.9 * 16_000, abs=2)


def test_a_long_sound_is_the_mean_of_its_parts_weighted_by_their_length(wav2vec2, tmp_path):
    wave = 0.1 * np.random.default_rng(1).standard_normal(int(1.5 * 16_000))
    for name, part in {"whole": wave, "first": wave[:16_000], "second": wave[16_000:]}.items():
        soundfile.write(tmp_path / f"{name}.wav", part, 16_000, subtype="FLOAT")
    encoder = TransformerAudio(wav2vec2, seconds=1.0, precision="float32")
    whole, first, second = encoder.encode([tmp_path / f"{n}.wav" for n in ("whole", "first", "second")], device="cpu")
    np.testing.assert_allclose(whole, (1.0 * first + 0.5 * second) / 1.5, atol=1e-5)


def test_wav2vec2_is_the_mean_of_the_states_that_transformers_gives(wav2vec2_masked, sounds):
    encoder = TransformerAudio(wav2vec2_masked, precision="float32")
    wave = mm.encoders.audio.open_sound(sounds[2], 16_000)
    extractor = transformers.AutoFeatureExtractor.from_pretrained(wav2vec2_masked)
    model = transformers.AutoModel.from_pretrained(wav2vec2_masked).eval()
    with torch.inference_mode():
        states = model(**extractor(wave, sampling_rate=16_000, return_tensors="pt")).last_hidden_state
    mine = encoder.encode([sounds[1], sounds[2], sounds[3]], device="cpu")[1]  # beside longer and shorter ones
    np.testing.assert_allclose(mine, states[0].mean(dim=0).numpy(), atol=1e-5)


def test_cut_leaves_no_splinter_and_fills_what_is_too_short():
    assert [len(p) for p in cut(np.ones(25, np.float32), 10, 2)] == [10, 10, 5]
    assert [len(p) for p in cut(np.ones(21, np.float32), 10, 2)] == [10, 10]
    assert [len(p) for p in cut(np.ones(10, np.float32), 10, 2)] == [10]
    assert cut(np.ones(1, np.float32), 10, 3)[0].tolist() == [1, 0, 0]


def test_a_model_of_the_hub_is_made_by_name_and_its_weights_count(ast, wav2vec2, sounds):
    encoder = mm.encoders.create(ast, modality="audio")
    assert isinstance(encoder, TransformerAudio)
    assert encoder.fingerprint != mm.encoders.create(wav2vec2, modality="audio").fingerprint
    assert encoder._transformer is None, "the fingerprint must not load the model"
    assert encoder.encode(sounds[:1], device="cpu").shape == (1, 16)


def test_what_is_no_model_is_said_with_a_remedy(tmp_path):
    with pytest.raises(DownloadError, match="holds no model"):
        _ = TransformerAudio(str(tmp_path)).dim
    with pytest.raises(ParameterError, match="seconds"):
        TransformerAudio("some/model", seconds=0)
    with pytest.raises(ParameterError, match="precision"):
        TransformerAudio("some/model", precision="half")
